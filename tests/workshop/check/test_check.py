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

from flood_seg.classes import IGNORED
from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.overrides import parse_overrides
from flood_seg.config.schema.workshop import CheckConfig, DataToolsConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.errors import ConfigError, DataError, FindingsError, OutputError, UsageError
from flood_seg.synthetic.scene import draw_scene
from flood_seg.workshop.check.findings import FINDING_KINDS
from flood_seg.workshop.check.result import CheckResult
from tests.workshop.tools import check, find_problems

SIZE = 128
COUNT = 12
MANY = 20


@pytest.fixture(scope="session")
def scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw_scene(seed, SIZE, SIZE + 40) for seed in range(MANY)]


@pytest.fixture
def folder(tmp_path, scenes) -> Path:
    """Twelve scenes without a flaw."""
    return write(tmp_path / "set", scenes[:COUNT])


@pytest.fixture
def many(tmp_path, scenes) -> Path:
    """Twenty scenes without a flaw, enough to tell exchanged masks when some are broken."""
    return write(tmp_path / "many", scenes)


def write(root: Path, scenes) -> Path:
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number, (image, mask) in enumerate(scenes):
        Image.fromarray(image).save(root / "images" / f"{number:02d}.jpg", quality=92)
        Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")
    return root


def config_of(folder: Path, *more: str) -> DataToolsConfig:
    return compose("data", [f"datamodule.data_dir='{folder}'", *more], DataToolsConfig)


def found(checked: CheckResult) -> set[tuple[str, ...]]:
    return {(finding.kind, *sorted(finding.stems)) for finding in checked.findings}


def test_samples_of_two_sets_never_overwrite_each_other_in_the_copy(tmp_path, scenes):
    one, other = write(tmp_path / "x", scenes[:2]), write(tmp_path / "x_y", scenes[2:4])
    for file in one.glob("*/00.*"):
        file.rename(file.with_name(f"y_{file.name}"))  # x/y_00 and x_y/00
    sets = compose("data", [f"datamodule.data_dir=['{one}','{other}']"], DataToolsConfig)
    with pytest.raises(DataError, match="would both be written as x_y_00"):
        check(sets, tmp_path / "out", tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists()
    (one / "images" / "y_00.jpg").rename(one / "images" / "y_00.jpeg")
    check(sets, tmp_path / "again", tmp_path / "fixed")
    copies = {file.read_bytes() for file in (tmp_path / "fixed" / "images").iterdir()}
    assert copies == {file.read_bytes() for root in (one, other) for file in (root / "images").iterdir()}
    assert len(list((tmp_path / "fixed" / "masks").iterdir())) == 4


def exchange(one: Path, other: Path) -> None:
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def test_a_clean_set_has_no_finding(folder, tmp_path):
    assert found(check(config_of(folder), tmp_path / "out")) == set()
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (record["pairs"], record["errors"], record["findings"]) == (COUNT, 0, [])
    assert "No findings" in (tmp_path / "out" / "report.html").read_text()


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
    assert page.count("data:image/jpeg") >= 8 and all(FINDING_KINDS[kind].title in page for kind, *_ in listed)


def test_swapped_masks_of_one_size_are_found_and_a_few_images_are_no_proof(folder, tmp_path):
    exchange(folder / "masks" / "03.png", folder / "masks" / "08.png")
    exchange(folder / "masks" / "05.png", folder / "masks" / "06.png")
    checked = check(config_of(folder), tmp_path / "out")  # warnings: no FindingsError
    assert {frozenset(swap) for swap in checked.swaps} == {frozenset({"03", "08"}), frozenset({"05", "06"})}
    assert found(checked) == {("maybe_swapped", "03", "08"), ("maybe_swapped", "05", "06")}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "03 with the mask of 08" in page and "08 with the mask of 03" in page


def test_masks_swapped_with_their_sizes_are_an_error_in_few_images_too(many, scenes):
    for number in (3, 8):
        small = cv2.resize(scenes[11 - number][1], (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
        shape = (SIZE, SIZE + 40) if number == 3 else (SIZE, SIZE)
        Image.fromarray(cv2.resize(scenes[number][0], shape[::-1])).save(many / "images" / f"{number:02d}.jpg")
        other = scenes[11 - number][1] if number == 8 else small
        Image.fromarray(other).save(many / "masks" / f"{number:02d}.png")
    assert {("swapped", "03", "08"), ("shape", "03"), ("shape", "08")} == found(find_problems(config_of(many)))


def test_the_report_says_how_well_swapped_masks_can_be_told(many, tmp_path, capsys):
    check(config_of(many), tmp_path / "out")
    (trial,) = json.loads((tmp_path / "out" / "report.json").read_text())["mask_trials"]
    assert trial["masks"] == MANY and trial["power"] > 0.8 and min(trial["separation"].values()) > 0.9
    assert f"an exchange of two would be detected with a probability of {trial['power']:.0%}" in capsys.readouterr().out


def test_masks_of_what_the_images_do_not_show_are_not_judged_and_the_report_says_so(tmp_path, scenes, capsys):
    root = write(
        tmp_path / "set", [(image, scenes[(number + 7) % MANY][1]) for number, (image, _) in enumerate(scenes)]
    )
    checked = check(config_of(root), tmp_path / "out")
    assert not {"swapped", "maybe_swapped", "misfit"} & {finding.kind for finding in checked.findings}
    told = "swapped masks cannot be detected: masks fit their own images hardly better than others"
    assert told in capsys.readouterr().out and told in (tmp_path / "out" / "report.html").read_text()


def test_a_mask_of_another_scene_fits_that_one_better(many):
    shutil.copy(many / "masks" / "03.png", many / "masks" / "07.png")
    assert ("misfit", "03", "07") in found(find_problems(config_of(many)))


def test_a_mask_that_fits_no_image_is_named_by_itself(many, scenes):
    Image.fromarray(np.ascontiguousarray(scenes[8][1][::-1])).save(many / "masks" / "07.png")
    assert found(find_problems(config_of(many))) == {("misfit", "07")}


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
    checked = find_problems(config_of(folder))
    assert [sorted(group) for group in checked.duplicate_groups] == [sorted(["00", *changed])]
    assert {finding.kind for finding in checked.findings} == {"duplicate"}  # their masks agree when turned alike


def test_masks_of_near_duplicates_that_differ_contradict_each_other(folder, scenes):
    Image.fromarray(scenes[0][0]).save(folder / "images" / "again.jpg", quality=60)
    other = scenes[0][1].copy()
    other[: int(np.median(np.nonzero(other)[0]))] = 0  # half of the water
    Image.fromarray(other).save(folder / "masks" / "again.png")
    assert {("duplicate", "00", "again"), ("contradiction", "00", "again")} <= found(find_problems(config_of(folder)))


def test_dry_photos_that_are_there_twice_do_not_contradict_each_other(folder, scenes):
    Image.fromarray(scenes[0][0]).save(folder / "images" / "again.jpg", quality=60)
    for name in ("00", "again"):
        Image.fromarray(np.zeros_like(scenes[0][1])).save(folder / "masks" / f"{name}.png")
    assert found(find_problems(config_of(folder))) == {
        ("duplicate", "00", "again"),
        ("constant", "00"),
        ("constant", "again"),
    }


def test_a_duplicate_in_two_parts_is_an_error_and_the_copy_keeps_it_out_of_training(tmp_path, scenes):
    root = tmp_path / "set"
    write(root / "train", scenes[:8]), write(root / "val", scenes[8:COUNT])
    Image.fromarray(scenes[2][0]).save(root / "val" / "images" / "two.jpg", quality=70)
    Image.fromarray(scenes[2][1]).save(root / "val" / "masks" / "two.png")
    with pytest.raises(FindingsError):
        check(config_of(root), tmp_path / "out", tmp_path / "fixed")
    assert found(find_problems(config_of(root))) == {("leak", "train/02", "val/two")}
    assert len(list((tmp_path / "fixed" / "train" / "images").iterdir())) == 7
    assert found(find_problems(config_of(tmp_path / "fixed"))) == set()


def test_the_parts_of_a_split_file_count_and_are_kept(folder, scenes, tmp_path):
    Image.fromarray(scenes[0][0]).save(folder / "images" / "again.jpg", quality=70)
    shutil.copy(folder / "masks" / "00.png", folder / "masks" / "again.png")
    split = tmp_path / "split.txt"
    split.write_text("".join(f"train\t{number:02d}\n" for number in range(10)) + "val\t10\nval\t11\nval\tagain\n")
    config = config_of(folder, f"datamodule.split_file='{split}'")
    assert found(find_problems(config)) == {("leak", "00", "again")}
    with pytest.raises(FindingsError):
        check(config, tmp_path / "out", tmp_path / "fixed")
    kept = set((tmp_path / "fixed" / "split.txt").read_text().split("\n"))
    assert kept == set(split.read_text().split("\n")) - {"train\t00"}


def test_the_copy_is_mended_and_the_data_set_is_untouched(many, scenes, tmp_path):
    break_files(many, scenes)
    exchange(many / "masks" / "08.png", many / "masks" / "09.png")
    before = {path: path.read_bytes() for path in many.rglob("*") if path.is_file()}
    with pytest.raises(FindingsError):
        check(config_of(many, "check.fix_swaps=[08,09]"), tmp_path / "out", tmp_path / "fixed")
    assert {path: path.read_bytes() for path in many.rglob("*") if path.is_file()} == before
    fixed = tmp_path / "fixed"
    assert {path.stem for path in (fixed / "images").iterdir()} == {f"{number:02d}" for number in range(4, MANY)} - {
        "11"
    }
    for number in (5, 6, 8, 9):  # back with their images, and of two values
        written = np.array(Image.open(fixed / "masks" / f"{number:02d}.png"))
        assert set(np.unique(written)) == {0, 255} and np.mean(written != scenes[number][1]) < 0.01
    assert np.array(Image.open(fixed / "masks" / "04.png")).shape == scenes[4][1].shape
    upright = Image.open(fixed / "images" / "08.png")
    assert upright.size == (SIZE + 40, SIZE) and upright.getexif().get(0x0112, 1) == 1
    assert (fixed / "images" / "09.webp").read_bytes() == (many / "images" / "09.jpg").read_bytes()
    assert found(find_problems(config_of(fixed))) == {("constant", "07"), ("channels", "10")}
    changes = json.loads((fixed / "fixes.json").read_text())["changes"]
    assert changes["08"][0] == "mask of 09" and changes["02"][0].startswith("left out: 02.jpg: image without a mask")


def masks_after_fix(folder: Path, fixed: Path, *more: str) -> dict[str, bytes]:
    check(config_of(folder, *more), fixed.with_name(f"{fixed.name}_out"), fixed)
    return {path.stem: path.read_bytes() for path in (fixed / "masks").iterdir()}


def test_a_copy_exchanges_only_the_masks_that_are_named(many, tmp_path, capsys):
    right = {path.stem: path.read_bytes() for path in (many / "masks").iterdir()}
    for one, other in (("03", "08"), ("05", "06")):
        exchange(many / "masks" / f"{one}.png", many / "masks" / f"{other}.png")
    given = {path.stem: path.read_bytes() for path in (many / "masks").iterdir()}
    assert masks_after_fix(many, tmp_path / "a") == given
    told = capsys.readouterr().out.replace("\n", " ")
    assert "not exchanged: the masks of 2 pairs" in told and "check.fix_swaps=[" in told
    assert len(json.loads((tmp_path / "a" / "fixes.json").read_text())["swaps_left"]) == 2
    assert masks_after_fix(many, tmp_path / "b", "check.fix_swaps=true") == given  # they are no errors
    assert masks_after_fix(many, tmp_path / "c", "check.fix_swaps=[03]") == given | {n: right[n] for n in ("03", "08")}
    # An error from here on, which `true` is enough for.
    with pytest.raises(FindingsError):
        masks_after_fix(many, tmp_path / "d", "check.fix_swaps=true", "check.swap_error=0.01")
    assert {path.stem: path.read_bytes() for path in (tmp_path / "d" / "masks").iterdir()} == right


def test_a_stem_that_is_in_no_swap_is_refused_before_anything_is_copied(many, tmp_path):
    exchange(many / "masks" / "03.png", many / "masks" / "08.png")
    with pytest.raises(DataError, match="check.fix_swaps: 04 is in no pair of swapped masks; pairs found: 03 and 08"):
        check(config_of(many, "check.fix_swaps=[03,04]"), tmp_path / "out", tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists() and (tmp_path / "out" / "report.json").is_file()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("[0014,0015]", ["0014", "0015"]), ("[14,15]", ["14", "15"]), ("[1_000, 1e3,0x14]", ["1_000", "1e3", "0x14"]),
        ("[2020-01-01,3.10]", ["2020-01-01", "3.10"]), ("['0014',\"0015\"]", ["0014", "0015"]), ("0014", ["0014"]),
        ("2050", ["2050"]), ("[train/0014,true]", ["train/0014", "true"]), ("[überflutet]", ["überflutet"]),
        ("true", True), ("false", False), ("null", False), ("[]", []),
    ],
)  # fmt: skip
def test_stems_on_the_command_line_stay_texts(given, wanted):
    (override,) = parse_overrides([f"check.fix_swaps={given}"])
    assert defaults(CheckConfig, fix_swaps=override.value()).fix_swaps == wanted


def test_stems_on_the_command_line_reach_the_check_as_texts(folder):
    assert config_of(folder, "check.fix_swaps=[0014,2050]").check.fix_swaps == ["0014", "2050"]


def test_a_stem_that_a_yaml_made_a_number_is_refused():
    with pytest.raises(ConfigError, match="check.fix_swaps: 12 is not text; a stem of digits is quoted in a yaml"):
        defaults(CheckConfig, fix_swaps=[12])


def test_only_the_direct_neighbours_of_another_part_are_kept_out_of_training(many, scenes):
    from flood_seg.workshop.check.fix import _leaking

    checked = find_problems(config_of(many))
    checked.parts = {stem: "train" for stem in checked.parts} | {"02": "val", "03": "test"}
    checked.duplicate_pairs = {
        ("00", "01"),
        ("01", "02"),
        ("02", "03"),
        ("04", "05"),
    }  # a chain: 00 does not resemble 02
    assert set(_leaking(checked)) == {"01", "02"}


def write_raster(
    path: Path, values: np.ndarray, west: float = 500000, crs: str = "EPSG:32632", step: float = 10, **more
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = values if values.ndim == 3 else values[None]
    grid = {"crs": crs, "transform": from_origin(west, 5_500_000, step, step)} if crs else {}
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
        if number == 1:  # cut 20 columns further west, and broader
            labels, west = np.pad(mask, ((0, 0), (20, 20))), 499800.0
        if number == 2:
            crs = "EPSG:32633"
        if number == 3:
            crs = ""
        write_raster(root / "masks" / f"{number}.tif", labels, west, crs)
    config = config_of(root, "datamodule.value_scale=10000")
    kinds = found(find_problems(config)) - {("misfit", "1", "2"), ("misfit", "2", "1")}
    assert {("place", "1"), ("place", "2"), ("unplaced", "3"), ("nodata", "4")} <= kinds
    with pytest.raises(FindingsError):
        check(config, tmp_path / "out", tmp_path / "fixed")
    with rasterio.open(tmp_path / "fixed" / "masks" / "1.tif") as source:
        assert (source.read(1) == scenes[1][1]).all() and source.transform.c == 500000


def test_a_label_that_covers_a_part_of_its_image_is_left_out_not_filled_up(tmp_path, scenes):
    root = tmp_path / "set"
    for number, (image, mask) in enumerate(scenes[:4]):
        write_raster(root / "images" / f"{number}.tif", np.moveaxis(image, 2, 0))
        west = {1: 500200.0, 2: 900000.0}.get(number, 500000.0)  # 20 columns further east, and far off
        write_raster(root / "masks" / f"{number}.tif", mask, west, nodata=0)
    config = config_of(root, "datamodule.labels={0:background,255:water}")  # 0 is declared as nodata, and is none
    with pytest.raises(FindingsError):
        check(config, tmp_path / "out", tmp_path / "fixed")
    assert sorted(path.name for path in (tmp_path / "fixed" / "masks").iterdir()) == ["0.tif", "3.tif"]
    changes = json.loads((tmp_path / "fixed" / "fixes.json").read_text())["changes"]
    assert changes["1"] == ["left out: its label covers 88.1% of the image; the rest would have no label"]
    assert "covers 0.0%" in changes["2"][0]


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
    for number, (_, mask) in enumerate(scenes[:COUNT]):
        values = np.where(mask > 0, 64, 0).astype(np.uint8)
        values[:10, :10] = 7 if number == 3 else 128
        Image.fromarray(values).save(folder / "masks" / f"{number:02d}.png")
    config = config_of(folder, "task=multiclass", "datamodule.labels={64:water,128:road}")
    assert found(find_problems(config)) == {("labels", "03")}


def test_the_mended_copy_of_a_label_keeps_what_has_no_data(tmp_path, scenes):
    """A mask that is warped, or resized, or has smooth edges, is ignored where it says nothing."""
    root, unknown = tmp_path / "set", np.zeros(scenes[0][1].shape, bool)
    unknown[:7] = True
    for number, (image, mask) in enumerate(scenes[:4]):
        write_raster(root / "images" / f"{number}.tif", np.moveaxis(image, 2, 0).astype(np.uint16) * 20)
        labels = np.where(unknown, -1, mask > 0).astype(np.int16)
        west = 500000.0
        if number == 1:  # cut 20 columns further east: the first columns of the image have no label
            labels, west = labels[:, 20:], 500200.0
        if number == 2:
            labels = labels.repeat(2, axis=0).repeat(2, axis=1)
        write_raster(root / "masks" / f"{number}.tif", labels, west, step=5 if number == 2 else 10)
    options = ["datamodule.value_scale=10000", "datamodule.labels={-1:ignore,0:land,1:water}"]
    with pytest.raises(FindingsError):
        check(config_of(root, *options), tmp_path / "out", tmp_path / "fixed")
    config = config_of(tmp_path / "fixed", *options)
    reader = SampleReader.of(config.datamodule, "binary")
    for pair in find_samples(config.datamodule)[0]:
        number = int(pair.stem)
        wanted = np.where(unknown, IGNORED, scenes[number][1] > 0)
        if number == 1:
            wanted[:, :20] = IGNORED
        np.testing.assert_array_equal(reader.read_mask(pair), wanted, str(number))


def test_a_two_class_mask_that_is_written_anew_keeps_its_nodata(tmp_path, scenes):
    root, unknown = tmp_path / "set", np.zeros(scenes[0][1].shape, bool)
    unknown[:7] = True
    for number, (image, mask) in enumerate(scenes[:2]):
        write_raster(root / "images" / f"{number}.tif", np.moveaxis(image, 2, 0))
        labels = np.where(unknown, 7, mask).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
        write_raster(root / "masks" / f"{number}.tif", labels, step=5, nodata=7)
    check(config_of(root), tmp_path / "out", tmp_path / "fixed")
    config = config_of(tmp_path / "fixed")
    for pair in find_samples(config.datamodule)[0]:
        found = SampleReader.of(config.datamodule, "binary").read_mask(pair)
        np.testing.assert_array_equal(found, np.where(unknown, IGNORED, scenes[int(pair.stem)][1] > 0))


def test_what_is_without_data_by_alpha_or_by_the_configuration_is_noted(tmp_path, scenes):
    root = tmp_path / "set"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number, (image, mask) in enumerate(scenes[:3]):
        alpha = np.full(mask.shape, 255, np.uint8)
        alpha[: (0, 10, 90)[number]] = 0
        Image.fromarray(np.dstack([image, alpha])).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    kinds = {(f.kind, f.stems[0]) for f in find_problems(config_of(root)).findings}
    assert {("nodata", "1"), ("empty_data", "2")} <= kinds and not {("nodata", "0"), ("empty_data", "0")} & kinds
