"""Which scenes are mapped, and the folder of each one's results."""

from __future__ import annotations

import glob
from pathlib import Path

from flood_seg.errors import DataError, OutputError
from flood_seg.imaging.source import IMAGE_SUFFIXES, gdal_name, is_gdal_name

LISTS = (".txt", ".lst")
RASTERS = frozenset({".vrt", ".nc", ".img", ".ecw", ".hdf", ".h5", ".jp2", ".tif", ".tiff"})  # beside Pillow's formats


def find_scenes(text: str, out: Path | None) -> dict[Path, Path]:
    """Returns each scene and the folder of its results.

    Args:
        text: a file, a folder, a glob pattern, a text file with one scene per line, an https:// or s3:// address, or
            any other name that GDAL opens, `NETCDF:file.nc:band` for example.
        out: of a single scene its folder, of several the folder of their folders, which are named as the scenes; None:
            NAME_map beside each scene, or in the working directory where the scene is remote.

    Raises:
        DataError: there is no scene.
        OutputError: two scenes have the same name.
    """
    scenes = _list(text)
    if not scenes:
        raise DataError(f"{text}: no scenes found; give a raster, a folder, a pattern or a list of them")
    if out and len(scenes) == 1 and not Path(text).is_dir():
        return {scenes[0]: out}
    folders: dict[Path, Path] = {}
    for scene in scenes:
        parent = out or (Path() if is_gdal_name(scene) else scene.parent)
        folder = parent / (_stem(scene) if out else f"{_stem(scene)}_map")
        if same := next((other for other, taken in folders.items() if taken == folder), None):
            raise OutputError(f"{folder}: would hold the results of {same} and of {scene}; rename one")
        folders[scene] = folder
    return folders


def _list(text: str) -> list[Path]:
    path = Path(text)
    if "://" in text or is_gdal_name(path):
        return [gdal_name(text)]
    if path.is_dir():
        return [file for file in sorted(path.iterdir()) if _is_scene(file)]
    if path.suffix.lower() in LISTS and path.is_file():
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        return [scene for line in lines if line and not line.startswith("#") for scene in _entry(line, path.parent)]
    if path.exists():
        return [path]
    found = sorted(Path(name) for name in glob.glob(text, recursive=True))  # noqa: PTH207 # an absolute pattern
    if not found and not glob.has_magic(text):
        raise DataError(f"{text}: does not exist")
    return [file for file in found if _is_scene(file)]


def _entry(line: str, folder: Path) -> list[Path]:
    """Returns the scenes of a line of a list; relative paths are relative to the list's folder."""
    if "://" in line or is_gdal_name(Path(line)):
        return [gdal_name(line)]
    path = folder / line
    if not path.exists():
        raise DataError(f"{path}: does not exist; it is listed as {line}")
    return [path]


def _is_scene(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and file.suffix.lower() in RASTERS | IMAGE_SUFFIXES


def _stem(scene: Path) -> str:
    return Path(scene.name.rpartition(":")[2].strip('"').rpartition("%2F")[2]).stem or "scene"
