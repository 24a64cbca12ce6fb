from __future__ import annotations

from pathlib import Path

import pytest

from flood_seg.errors import FloodSegError
from flood_seg.scenes import inputs
from flood_seg.scenes.stac_input import AssetChoice

CHOICE = AssetChoice((), ("red", "green", "blue"), Path("work"))


def find_scenes(text: str, out: Path | None) -> dict[Path, Path]:
    return inputs.find_scenes(text, out, CHOICE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.tif", "b.jp2", "c.txt", ".d.tif", "e.nc"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("# scenes\na.tif\n\nhttps://host/x.tif\n")
    return tmp_path


def test_one_file(folder: Path) -> None:
    assert find_scenes(str(folder / "a.tif"), Path("out")) == {folder / "a.tif": Path("out")}
    assert find_scenes(str(folder / "a.tif"), None) == {folder / "a.tif": folder / "a_map"}


def test_folder_and_pattern(folder: Path) -> None:
    expected = {folder / "a.tif": Path("out/a"), folder / "b.jp2": Path("out/b"), folder / "e.nc": Path("out/e")}
    assert find_scenes(str(folder), Path("out")) == expected
    assert find_scenes(str(folder / "*"), Path("out")) == expected


def test_list(folder: Path) -> None:
    remote = Path("/vsicurl?url=https%3A%2F%2Fhost%2Fx.tif")
    assert find_scenes(str(folder / "list.txt"), Path("o")) == {folder / "a.tif": Path("o/a"), remote: Path("o/x")}


def test_names_that_gdal_knows() -> None:
    assert find_scenes("s3://bucket/a/b.tif", None) == {Path("/vsis3/bucket/a/b.tif"): Path("b_map")}
    assert find_scenes('NETCDF:"x.nc":water', Path("o")) == {Path('NETCDF:"x.nc":water'): Path("o")}


def test_faults(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "a.jp2").touch()
    for text, message in (
        (folder / "missing.tif", "does not exist"),
        (folder / "sub", "no scenes found"),
        (folder / "*.xyz", "no scenes found"),
        (folder, "rename one"),
        ("ftp://host/a.tif", "unknown scheme ftp"),
    ):
        with pytest.raises(FloodSegError, match=message):
            find_scenes(str(text), Path("out"))
