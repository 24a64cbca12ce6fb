"""Flaws that the tests put into a data set of drawn scenes, one of each kind."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from flood_seg.config import compose
from flood_seg.data.check.check import Checked, check, look
from flood_seg.data.check.kinds import KINDS
from flood_seg.data.scene import draw_scene
from flood_seg.errors import FindingsError, OutputError, UsageError
from flood_seg.schema.workshop import DataToolsConfig

SIZE = 128
COUNT = 12


@pytest.fixture(scope="session")
def scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw_scene(seed, SIZE, SIZE + 40) for seed in range(COUNT)]


@pytest.fixture
def folder(tmp_path, scenes) -> Path:
    """Twelve scenes without a flaw."""
    return write(tmp_path / "set", scenes)


def write(root: Path, scenes) -> Path:
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number, (image, mask) in enumerate(scenes):
        Image.fromarray(image).save(root / "images" / f"{number:02d}.jpg", quality=92)
        Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")
    return root


def config_of(folder: Path, *more: str) -> DataToolsConfig:
    return compose("data", [f"datamodule.data_dir='{folder}'", *more], DataToolsConfig)


def found(checked: Checked) -> set[tuple[str, ...]]:
    return {(finding.kind, *sorted(finding.stems)) for finding in checked.findings}


def exchange(one: Path, other: Path) -> None:
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def test_a_clean_set_has_no_finding(folder, tmp_path):
    assert found(check(config_of(folder), tmp_path / "out")) == set()
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (record["pairs"], record["errors"], record["findings"]) == (COUNT, 0, [])
    assert "Nothing was found" in (tmp_path / "out" / "report.html").read_text()


def break_files(folder: Path, scenes) -> set[tuple[str, ...]]:
    """Puts in one flaw of each kind that concerns a single file; returns what must be found."""
    images, masks = folder / "images", folder / "masks"
    data = (images / "00.jpg").read_bytes()
    (images / "00.jpg").write_bytes(data[: len(data) // 2])
    (masks / "01.png").write_bytes(b"")
    (masks / "02.png").unlink()
    Image.fromarray(scenes[3][1][:, :80]).save(masks / "03.png")
    Image.fromarray(cv2.resize(scenes[4][1], None, fx=0.5, fy=0.5)).save(masks / "04.png")
    noisy = cv2.imdecode(cv2.imencode(".jpg", scenes[5][1], (cv2.IMWRITE_JPEG_QUALITY, 60))[1], cv2.IMREAD_GRAYSCALE)
    Image.fromarray(noisy).save(masks / "05.png")
    Image.fromarray(cv2.GaussianBlur(scenes[6][1], (3, 3), 0)).save(masks / "06.png")
    Image.fromarray(np.full((SIZE, SIZE + 40), 255, np.uint8)).save(masks / "07.png")
    turned = Image.fromarray(np.rot90(scenes[8][0], 1))  # EXIF 6 turns it by a quarter clockwise
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(images / "08.jpg", exif=exif, quality=95)
    Image.fromarray(scenes[9][0]).save(images / "09.jpg", format="WEBP", quality=95)
    Image.fromarray(scenes[10][0]).convert("RGBA").save(images / "10.png")
    (images / "10.jpg").unlink()
    Image.fromarray(np.where(scenes[11][1] > 0, 128, 0).astype(np.uint8)).save(masks / "11.png")
    return {
        ("unreadable", "00"), ("unreadable", "01"), ("unpaired", "02"), ("shape", "03"), ("size", "04"),
        ("lossy", "05"), ("soft", "06"), ("constant", "07"), ("exif", "08"), ("suffix", "09"), ("channels", "10"),
        ("soft", "04"), ("labels", "11"),
    }  # fmt: skip


def test_each_flaw_of_a_file_is_named_and_nothing_else(folder, scenes, tmp_path):
    wanted = break_files(folder, scenes)
    with pytest.raises(FindingsError, match=f"5 errors, see {tmp_path}/out/report.html; --fix FOLDER") as error:
        check(config_of(folder), tmp_path / "out")
    assert error.value.exit_code == 1
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    listed = {(finding["kind"], *finding["stems"]) for finding in record["findings"]}
    assert listed - {("soft", "04")} == wanted - {("soft", "04")}  # halved by averaging, so maybe grey
    severities = [finding["severity"] for finding in record["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg") >= 8 and all(KINDS[kind].title in page for kind, *_ in listed)


def test_swapped_masks_of_one_size_are_found_by_their_outlines(folder, tmp_path):
    exchange(folder / "masks" / "03.png", folder / "masks" / "08.png")
    exchange(folder / "masks" / "05.png", folder / "masks" / "06.png")
    checked = look(config_of(folder))
    assert {frozenset(swap) for swap in checked.swaps} == {frozenset({"03", "08"}), frozenset({"05", "06"})}
    assert found(checked) == {("swapped", "03", "08"), ("swapped", "05", "06")}


def test_a_mask_of_another_scene_fits_that_one_better(folder):
    shutil.copy(folder / "masks" / "03.png", folder / "masks" / "07.png")
    assert ("misfit", "03", "07") in found(look(config_of(folder)))


def test_near_duplicates_are_found_however_they_were_changed(folder, scenes):
    image, mask = scenes[0]
    changed = {
        "jpeg": (image, 40), "flipped": (image[:, ::-1], 92), "small": (cv2.resize(image, None, fx=0.6, fy=0.6), 92),
        "bright": (np.clip(image.astype(int) + 25, 0, 255).astype(np.uint8), 92), "turned": (np.rot90(image), 92),
    }  # fmt: skip
    for name, (pixels, quality) in changed.items():
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / "images" / f"{name}.jpg", quality=quality)
        moved = {"flipped": mask[:, ::-1], "turned": np.rot90(mask)}.get(name, mask)
        Image.fromarray(cv2.resize(moved, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)).save(
            folder / "masks" / f"{name}.png"
        )
    checked = look(config_of(folder))
    assert [sorted(group) for group in checked.groups] == [sorted(["00", *changed])]
    assert {finding.kind for finding in checked.findings} == {"duplicate"}  # their masks agree when turned alike


def test_masks_of_near_duplicates_that_differ_contradict_each_other(folder, scenes):
    Image.fromarray(scenes[0][0]).save(folder / "images" / "again.jpg", quality=60)
    other = scenes[0][1].copy()
    other[: int(np.median(np.nonzero(other)[0]))] = 0  # half of the water
    Image.fromarray(other).save(folder / "masks" / "again.png")
    assert {("duplicate", "00", "again"), ("contradiction", "00", "again")} <= found(look(config_of(folder)))


def test_dry_photos_that_are_there_twice_do_not_contradict_each_other(folder, scenes):
    Image.fromarray(scenes[0][0]).save(folder / "images" / "again.jpg", quality=60)
    for name in ("00", "again"):
        Image.fromarray(np.zeros_like(scenes[0][1])).save(folder / "masks" / f"{name}.png")
    assert found(look(config_of(folder))) == {("duplicate", "00", "again"), ("constant", "00"), ("constant", "again")}


def test_a_duplicate_in_two_parts_is_an_error_and_the_copy_keeps_it_out_of_training(tmp_path, scenes):
    root = tmp_path / "set"
    write(root / "train", scenes[:8]), write(root / "val", scenes[8:])
    Image.fromarray(scenes[2][0]).save(root / "val" / "images" / "two.jpg", quality=70)
    Image.fromarray(scenes[2][1]).save(root / "val" / "masks" / "two.png")
    with pytest.raises(FindingsError):
        check(config_of(root), tmp_path / "out", tmp_path / "fixed")
    assert found(look(config_of(root))) == {("leak", "train/02", "val/two")}
    assert len(list((tmp_path / "fixed" / "train" / "images").iterdir())) == 7
    assert found(look(config_of(tmp_path / "fixed"))) == set()


def test_the_parts_of_a_split_file_count_and_are_kept(folder, scenes, tmp_path):
    Image.fromarray(scenes[0][0]).save(folder / "images" / "again.jpg", quality=70)
    shutil.copy(folder / "masks" / "00.png", folder / "masks" / "again.png")
    split = tmp_path / "split.txt"
    split.write_text("".join(f"train\t{number:02d}\n" for number in range(10)) + "val\t10\nval\t11\nval\tagain\n")
    config = config_of(folder, f"datamodule.split_file='{split}'")
    assert found(look(config)) == {("leak", "00", "again")}
    with pytest.raises(FindingsError):
        check(config, tmp_path / "out", tmp_path / "fixed")
    kept = set((tmp_path / "fixed" / "split.txt").read_text().split("\n"))
    assert kept == set(split.read_text().split("\n")) - {"train\t00"}


def test_the_copy_is_mended_and_the_data_set_is_untouched(folder, scenes, tmp_path):
    break_files(folder, scenes)
    exchange(folder / "masks" / "08.png", folder / "masks" / "09.png")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(FindingsError):
        check(config_of(folder), tmp_path / "out", tmp_path / "fixed")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    fixed = tmp_path / "fixed"
    assert {path.stem for path in (fixed / "images").iterdir()} == {"04", "05", "06", "07", "08", "09", "10"}
    for number in (5, 6, 8, 9):  # back with their images, and of two values
        written = np.array(Image.open(fixed / "masks" / f"{number:02d}.png"))
        assert set(np.unique(written)) == {0, 255} and np.mean(written != scenes[number][1]) < 0.01
    assert np.array(Image.open(fixed / "masks" / "04.png")).shape == scenes[4][1].shape
    upright = Image.open(fixed / "images" / "08.png")
    assert upright.size == (SIZE + 40, SIZE) and upright.getexif().get(0x0112, 1) == 1
    assert (fixed / "images" / "09.webp").read_bytes() == (folder / "images" / "09.jpg").read_bytes()
    assert found(look(config_of(fixed))) == {("constant", "07"), ("channels", "10")}
    changes = json.loads((fixed / "fixes.json").read_text())["changes"]
    assert changes["08"][0] == "mask of 09" and changes["02"][0].startswith("left out: 02.jpg: image without a mask")


def write_raster(path: Path, values: np.ndarray, west: float = 500000, crs: str = "EPSG:32632", **more) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = values if values.ndim == 3 else values[None]
    grid = {"crs": crs, "transform": from_origin(west, 5_500_000, 10, 10)} if crs else {}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2], dtype=bands.dtype,
        **grid, **more,
    ) as out:  # fmt: skip
        out.write(bands)


def test_labels_that_lie_elsewhere_on_the_map_are_found_and_warped_back(tmp_path, scenes):
    root = tmp_path / "set"
    for number, (image, mask) in enumerate(scenes[:6]):
        bands = np.moveaxis(image, 2, 0).astype(np.uint16) * 20
        if number == 4:
            bands[:, :, :30] = 0
        write_raster(root / "images" / f"{number}.tif", bands, nodata=0)
        labels, west, crs = mask, 500000.0, "EPSG:32632"
        if number == 1:  # cut 20 columns further east
            labels, west = np.pad(mask[:, 20:], ((0, 0), (0, 20))), 500200.0
        if number == 2:
            crs = "EPSG:32633"
        if number == 3:
            crs = ""
        write_raster(root / "masks" / f"{number}.tif", labels, west, crs)
    config = config_of(root, "datamodule.value_scale=10000")
    kinds = found(look(config)) - {("misfit", "1", "2"), ("misfit", "2", "1")}
    assert {("place", "1"), ("place", "2"), ("unplaced", "3"), ("nodata", "4")} <= kinds
    with pytest.raises(FindingsError):
        check(config, tmp_path / "out", tmp_path / "fixed")
    with rasterio.open(tmp_path / "fixed" / "masks" / "1.tif") as source:
        assert (source.read(1)[:, 20:] == scenes[1][1][:, 20:]).all() and source.transform.c == 500000


def test_a_copy_is_never_mixed_with_other_files(folder, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(OutputError, match="is not empty"):
        check(config_of(folder), tmp_path / "out", tmp_path / "full")
    with pytest.raises(OutputError, match="lies in the data set itself"):
        check(config_of(folder), tmp_path / "out", folder / "fixed")
    with pytest.raises(UsageError, match="copies whole files"):
        check(config_of(folder, "datamodule=rasters"), tmp_path / "out", tmp_path / "fixed")
    assert not (tmp_path / "out").exists()


def test_classes_by_number_are_checked_against_the_labels(folder, scenes, tmp_path):
    for number, (_, mask) in enumerate(scenes):
        values = np.where(mask > 0, 64, 0).astype(np.uint8)
        values[:10, :10] = 7 if number == 3 else 128
        Image.fromarray(values).save(folder / "masks" / f"{number:02d}.png")
    config = config_of(folder, "task=multiclass", "datamodule.labels={64:water,128:road}")
    assert found(look(config)) == {("labels", "03")}
