"""Which scenes are mapped, and the folder of each one's results."""

from __future__ import annotations

import glob
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from flood_seg.errors import DataError, OutputError
from flood_seg.imaging.source import IMAGE_SUFFIXES, address, gdal_name, is_gdal_name
from flood_seg.object_store import SCHEME, ObjectFolder
from flood_seg.scenes.scene import scene_name
from flood_seg.scenes.stac_input import is_stac, write_scenes
from flood_seg.untrusted import RASTER_SUFFIXES, is_untrusted

if TYPE_CHECKING:
    from flood_seg.scenes.stac_input import AssetChoice

LISTS = (".txt", ".lst")
RASTERS = frozenset({".vrt", ".nc", ".img", ".ecw", ".hdf", ".h5", ".jp2", ".tif", ".tiff"})  # beside Pillow's formats


def find_scenes(text: str, out: Path | None, choice: AssetChoice, *, archive: bool = False) -> dict[Path, Path]:
    """Returns each scene and the folder of its results.

    Args:
        text: a file, a folder, a glob pattern, a text file with one scene per line, an https:// or s3:// address, a
            pattern or a folder in s3://, a STAC item, collection or catalogue, or any other name that GDAL opens,
            `NETCDF:file.nc:band` for example.
        out: of a single scene its folder, of several the folder of their folders, which are named as the scenes; None:
            NAME_map beside each scene, or in the working directory where the scene is remote.
        choice: of the assets of STAC items.
        archive: whether `out` is the folder of several scenes, even if there is one here.

    Raises:
        DataError: there is no scene.
        OutputError: two scenes have the same name.
    """
    if is_untrusted():
        check_scene(Path(text))
    stac = is_stac(text)
    scenes = write_scenes(text, choice) if stac else _list(text)
    if not scenes:
        raise DataError(f"{text}: no scenes found; give a raster, a folder, a pattern or a list of them")
    if out and len(scenes) == 1 and not archive and not Path(text).is_dir():
        return {scenes[0]: out}
    folders: dict[Path, Path] = {}
    for scene in scenes:
        parent = out or (Path() if stac or is_gdal_name(scene) else scene.parent)
        folder = parent / (scene_name(scene) if out else f"{scene_name(scene)}_map")
        if same := next((other for other, taken in folders.items() if taken == folder), None):
            raise OutputError(
                f"{folder}: would hold the results of {address(same)} and of {address(scene)}; rename one"
            )
        folders[scene] = folder
    return folders


def check_scene(path: Path) -> None:
    """Refuses names that mean other scenes than one file: what came from outside chooses no others.

    Raises:
        DataError: it is no file of a raster format that holds its own content.
    """
    if path.suffix.lower() not in RASTER_SUFFIXES or not path.is_file():
        raise DataError(f"{path}: is no file that ends in {', '.join(RASTER_SUFFIXES)}; other scenes are not read from "
                        "outside")  # fmt: skip


def _list(text: str) -> list[Path]:
    path = Path(text)
    if text.startswith(SCHEME):
        return _list_objects(text)
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


def _list_objects(text: str) -> list[Path]:
    """Returns the scenes of a pattern, a folder or a single object in S3."""
    if glob.has_magic(text):
        steps = text.split("/")
        fixed = next(number for number, step in enumerate(steps) if glob.has_magic(step))
        folder, pattern = ObjectFolder("/".join(steps[:fixed])), "/".join(steps[fixed:])
        matches = re.compile(_expression(pattern)).fullmatch
        names = [name for name in folder.files(recursive="/" in pattern or "**" in pattern) if matches(name)]
    elif _has_scene_suffix(text):
        return [gdal_name(text)]
    else:
        folder = ObjectFolder(text.rstrip("/"))
        names = folder.files()
    return [gdal_name(f"{folder}/{name}") for name in names if _has_scene_suffix(name)]


def _expression(pattern: str) -> str:
    """Returns the regular expression of a glob pattern: `**/` is any folders, `*` and `?` do not hold a slash."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    found = re.split(r"(\*\*/|\*\*|\*|\?|\[!?[^\]]+\])", pattern)
    return "".join(
        parts.get(part) or (part.replace("[!", "[^") if part[:1] == "[" and part[-1:] == "]" else re.escape(part))
        for part in found
    )


def _entry(line: str, folder: Path) -> list[Path]:
    """Returns the scenes of a line of a list; relative paths are relative to the list's folder."""
    if "://" in line or is_gdal_name(Path(line)):
        return [gdal_name(line)]
    path = folder / line
    if not path.exists():
        raise DataError(f"{path}: does not exist; it is listed as {line}")
    return [path]


def _is_scene(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and _has_scene_suffix(file.name)


def _has_scene_suffix(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in RASTERS | IMAGE_SUFFIXES
