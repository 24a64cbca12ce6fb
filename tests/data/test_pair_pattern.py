"""Files that share an identifier rather than a stem, as OMBRIA, Sen1Floods11 and CamVid have them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig
from flood_seg.data.layout import choose_split, find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.errors import ConfigError, DataError, ImageError
from flood_seg.imaging.bands import BandSelection, sibling_files
from flood_seg.workshop.label_encoding import image_overrides

PATTERN = "S2_after_{}.png:S2_mask_{}.png"


def write(file: Path, value: int, channels: int = 3) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = (32, 32, channels) if channels > 1 else (32, 32)
    cv2.imwrite(str(file), np.full(shape, value, np.uint8))


@pytest.fixture
def ombria(tmp_path) -> Path:
    for number in (3, 13, 7):
        for kind, value in (("after", number), ("before", 100 + number)):
            write(tmp_path / "S2" / kind.upper() / f"S2_{kind}_{number:04d}.png", value)
        write(tmp_path / "S2" / "MASK" / f"S2_mask_{number:04d}.png", 255, 1)
        write(tmp_path / "S1" / "AFTER" / f"S1_after_{number:04d}.png", 200 + number, 1)
    return tmp_path / "S2"


def config_of(folder: Path, **changes) -> DataConfig:
    folders = {"images_dir": "AFTER", "masks_dir": "MASK", "pair_pattern": PATTERN}
    return defaults(DataConfig, **({"data_dir": str(folder)} | folders | changes))


@pytest.mark.parametrize("pattern", [PATTERN, "S2_after_{}:S2_mask_{}", "*_after_{}.png:*_mask_{}.png"])
def test_images_and_masks_are_paired_by_their_identifiers(ombria, pattern):
    write(ombria / "AFTER" / "overview.png", 1)  # does not match, and is passed over
    pairs, faults = find_samples(config_of(ombria, pair_pattern=pattern))
    assert [(pair.stem, pair.mask.name) for pair in pairs] == [
        (f"S2_after_{number}", f"S2_mask_{number}.png") for number in ("0003", "0007", "0013")
    ]
    assert faults == []


def test_images_and_masks_of_one_folder_are_told_apart(tmp_path):
    for place in ("Bolivia_103757", "Ghana_7"):
        for kind in ("S1Hand", "LabelHand"):
            write(tmp_path / f"{place}_{kind}.png", 0, 1)
    folders = {"images_dir": ".", "masks_dir": ".", "pair_pattern": "{}_S1Hand.png:{}_LabelHand.png"}
    pairs, faults = find_samples(config_of(tmp_path, **folders))
    assert [pair.mask.name for pair in pairs] == ["Bolivia_103757_LabelHand.png", "Ghana_7_LabelHand.png"]
    assert faults == []


def test_bands_lie_in_sibling_folders_under_the_same_identifier(ombria):
    sources = {"nir": "2", "before": "BEFORE/S2_before_{}.png:1", "vv": "../S1/AFTER/S1_after_{}"}
    config = config_of(ombria, bands=["nir", "before", "vv"], band_sources=sources, mean="auto", std="auto")
    pairs, _ = find_samples(config)
    image, _ = SampleReader.of(config, "binary").load(pairs[-1])
    assert image[0, 0].tolist() == [13, 113, 213]
    assert config.band_sources["before"] == "S2_after_{}.png=BEFORE/S2_before_{}.png:1"  # as a model keeps it
    assert set(sibling_files(pairs[0].image, BandSelection.of(config))) == {"BEFORE_S2_before", "S1_AFTER_S1_after"}
    (line,) = (line for line in image_overrides(config) if "band_sources" in line)  # of a copy that is written
    assert "BEFORE_S2_before:1" in line and "S1_AFTER_S1_after" in line and "{}" not in line
    (ombria / "BEFORE" / "S2_before_0013.png").unlink()
    with pytest.raises(ImageError, match=r"there is no file BEFORE/S2_before_\{\}\.png for 0013"):
        SampleReader.of(config, "binary").load(pairs[-1])


def test_what_has_no_partner_or_the_identifier_of_another_is_named(ombria):
    write(ombria / "AFTER" / "S2_after_0099.png", 1)
    write(ombria / "AFTER" / "S2_after_0003.jpg", 1)
    pairs, faults = find_samples(config_of(ombria, pair_pattern="S2_after_{}:S2_mask_{}"))
    assert len(pairs) == 2
    assert [(fault.path.name, fault.reason) for fault in faults] == [
        ("S2_after_0003.png", "same identifier 0003 as S2_after_0003.jpg"),
        ("S2_after_0099.png", "image without a mask"),
    ]


def test_a_pattern_that_matches_nothing_says_what_the_folder_holds(ombria):
    with pytest.raises(DataError, match=r"AFTER: no file matches after_\{\}\.png; it holds S2_after_0003\.png, "):
        find_samples(config_of(ombria, pair_pattern="after_{}.png:S2_mask_{}.png"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair_pattern": "S2_after.png:S2_mask_{}.png"}, r"give IMAGE:MASK with one \{\} each"),
        ({"pair_pattern": "S2_after_{}.png"}, r"give IMAGE:MASK with one \{\} each"),
        ({"pair_pattern": "AFTER/{}.png:MASK/{}.png"}, "images_dir and masks_dir are the folders"),
        ({"mask_suffix": "_mask"}, "leave one out"),
        ({"pair_pattern": None, "band_sources": {"red": "BEFORE/{}.png"}}, "requires datamodule.pair_pattern"),
    ],
)
def test_an_impossible_pattern_is_refused(ombria, changes, message):
    with pytest.raises(ConfigError, match=message):
        config_of(ombria, **changes)


def test_camvids_folders_are_recognised(tmp_path):
    for part, numbers in (("train", "12"), ("val", "3"), ("test", "4")):
        for number in numbers:
            write(tmp_path / part / f"{number}.png", 1)
            write(tmp_path / f"{part}annot" / f"{number}.png", 1, 1)
    config = defaults(DataConfig, data_dir=str(tmp_path))
    split = choose_split(config, find_samples(config)[0], 0)
    assert (split.train, split.val, split.test) == (("train/1", "train/2"), ("val/3",), ("test/4",))
