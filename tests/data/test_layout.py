import os
from pathlib import Path

import pytest

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, TrainConfig
from flood_seg.data.layout import choose_pairs, choose_split, find_samples
from flood_seg.errors import ConfigError, DataError
from tests.conftest import write_ponds


def move(folder: Path, images: str, masks: str, stems: str) -> None:
    """Moves ponds, by the first digits of their stems."""
    for source, target in (("images", images), ("masks", masks)):
        (folder / target).mkdir(parents=True, exist_ok=True)
        for file in sorted((folder / source).glob("*.*")):
            if file.stem in stems.split():
                file.rename(folder / target / file.name)


def split_of(config: DataConfig):
    return choose_split(config, find_samples(config)[0], seed=0)


@pytest.mark.parametrize("form", ["{part}/{kind}", "{kind}/{part}"])
def test_parts_may_be_folders_around_or_below_images_and_masks(form, ponds):
    parts = {"train": "00 01 02 03 04", "val": "05 06 07", "test": "08 09"}
    for part, stems in parts.items():
        move(ponds, form.format(part=part, kind="img"), form.format(part=part, kind="gt"), stems)
    config = defaults(DataConfig, data_dir=str(ponds), images_dir="img", masks_dir="gt")
    split = split_of(config)
    for part, stems in parts.items():
        assert getattr(split, part) == tuple(f"{part}/{stem}" for stem in stems.split())
    assert [pair.stem for pair in choose_pairs(config)] == ["val/05", "val/06", "val/07"]
    assert [pair.image.stem for pair in choose_pairs(config, "test")] == ["08", "09"]
    assert len(choose_pairs(config, "all")) == 10


def test_without_a_validation_folder_it_is_drawn_from_training(ponds):
    move(ponds, "training/images", "training/masks", "00 01 02 03 04 05 06 07 08 09")
    split = split_of(defaults(DataConfig, data_dir=str(ponds), val_split=0.3))
    assert len(split.train) == 7 and len(split.val) == 3 and not split.test


def test_a_table_of_pairs_says_where_files_lie_and_their_part(ponds):
    rows = [f"images/{n:02d}.jpg,masks/{n:02d}.png,{'val' if n > 7 else 'train'}" for n in range(10)]
    (ponds / "pairs.csv").write_text("\n".join(["image,mask,part", *rows, "images/gone.jpg,masks/00.png,"]))
    config = defaults(DataConfig, data_dir=str(ponds), pairs_file="pairs.csv")
    pairs, faults = find_samples(config)
    assert len(pairs) == 10 and [fault.reason for fault in faults] == ["no such file"]
    assert split_of(config).val == ("08", "09")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,mask\na,b\n", "requires a header with image and mask.*its columns are picture, mask"),
        ("", "its columns are none"),
        ("image,mask,part\nimages/00.jpg,masks/00.png,trian\n", "pairs.csv:2: part is 'trian'"),
        ("image,mask\nimages/00.jpg,masks/00.png\nimages/00.jpg,masks/01.png\n", "00 is in two rows"),
    ],
)
def test_a_wrong_table_says_where(text, message, ponds):
    (ponds / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        find_samples(defaults(DataConfig, data_dir=str(ponds), pairs_file="pairs.csv"))


def test_several_data_sets_are_one(tmp_path):
    folders = [str(write_ponds(tmp_path / name, 3)) for name in ("spring", "autumn")]
    pairs, _ = find_samples(defaults(DataConfig, data_dir=folders))
    assert [pair.stem for pair in pairs] == [f"{name}/{n:02d}" for name in ("spring", "autumn") for n in range(3)]
    assert len({pair.image for pair in pairs}) == 6


@pytest.mark.parametrize("listed", ["b", "b/val"])
def test_a_data_set_of_validation_alone_is_added_to_validation(listed, tmp_path):
    for part in ("train", "val"):
        write_ponds(tmp_path / "a" / part, 3)
    write_ponds(tmp_path / "b" / "val", 4)
    split = split_of(defaults(DataConfig, data_dir=[str(tmp_path / "a"), str(tmp_path / listed)]))
    its = "b/val" if listed == "b" else "val"
    assert split.train == tuple(f"a/train/{n:02d}" for n in range(3))
    assert split.val == (*(f"a/val/{n:02d}" for n in range(3)), *(f"{its}/{n:02d}" for n in range(4)))


@pytest.mark.parametrize("listed", ["b", "b/val"])
def test_a_data_set_without_parts_is_divided_beside_one_of_validation(listed, tmp_path):
    write_ponds(tmp_path / "a", 10)
    write_ponds(tmp_path / "b" / "val", 4)
    config = defaults(DataConfig, data_dir=[str(tmp_path / "a"), str(tmp_path / listed)], val_split=0.3)
    split = split_of(config)
    alone = split_of(defaults(DataConfig, data_dir=str(tmp_path / "a"), val_split=0.3))
    assert len(split.train) == len(alone.train) == 7 and len(split.val) == 3 + 4, "no sample is lost"
    assert {stem for stem in split.train if not stem.startswith("a/")} == set()
    assert len(choose_pairs(config)) == 7 and len(choose_pairs(config, "all")) == 14


def test_rows_of_a_table_without_a_part_are_not_lost(ponds):
    rows = [f"images/{n:02d}.jpg,masks/{n:02d}.png,{'val' if n > 7 else ''}" for n in range(10)]
    (ponds / "pairs.csv").write_text("\n".join(["image,mask,part", *rows]))
    split = split_of(defaults(DataConfig, data_dir=str(ponds), pairs_file="pairs.csv"))
    assert len(split.train) + len(split.val) == 10 and {"08", "09"} < set(split.val)


def test_a_table_is_read_in_each_of_several_folders(tmp_path):
    for name in "ab":
        folder = write_ponds(tmp_path / name, 2)
        (folder / "pairs.csv").write_text("image,mask\nimages/00.jpg,masks/00.png\nimages/01.jpg,masks/01.png\n")
    config = defaults(DataConfig, data_dir=[str(tmp_path / name) for name in "ab"], pairs_file="pairs.csv")
    assert [pair.stem for pair in find_samples(config)[0]] == ["a/00", "a/01", "b/00", "b/01"]


def test_images_beside_a_validation_folder_are_for_training(ponds):
    move(ponds, "val/images", "val/masks", "08 09")
    split = split_of(defaults(DataConfig, data_dir=str(ponds)))
    assert split.val == ("val/08", "val/09") and len(split.train) == 8


def test_a_data_set_of_validation_alone_can_be_evaluated_but_not_trained_on(tmp_path):
    write_ponds(tmp_path / "b" / "val", 4)
    config = defaults(DataConfig, data_dir=str(tmp_path / "b"))
    assert len(choose_pairs(config)) == 4 and split_of(config).train == ()
    assert len(choose_pairs(defaults(DataConfig, data_dir=str(tmp_path / "b" / "val")))) == 4


def test_a_part_that_is_drawn_is_the_one_that_training_draws(tmp_path):
    write_ponds(tmp_path / "train", 20)
    write_ponds(tmp_path / "test", 1)
    config = defaults(DataConfig, data_dir=str(tmp_path))
    trained = choose_split(config, find_samples(config)[0], defaults(TrainConfig).seed)
    assert {pair.stem for pair in choose_pairs(config)} == set(trained.val)


def test_a_mask_may_have_a_suffix(ponds):
    for mask in (ponds / "masks").iterdir():
        mask.rename(mask.with_stem(f"{mask.stem}_mask"))
    pairs, faults = find_samples(defaults(DataConfig, data_dir=str(ponds), mask_suffix="_mask"))
    assert len(pairs) == 10 and not faults


def test_a_folder_of_lists_is_a_split(ponds, tmp_path):
    for part, stems in (("train", "00 01 02"), ("val", "03"), ("test", "04 05")):
        (tmp_path / f"{part}.txt").write_text("\n".join(stems.split()) + "\n")
    split = split_of(defaults(DataConfig, data_dir=str(ponds), split_file=str(tmp_path)))
    assert (split.train, split.val, split.test) == (("00", "01", "02"), ("03",), ("04", "05"))


def test_a_part_that_nothing_names_is_an_error(ponds):
    with pytest.raises(DataError, match="nothing says which pairs are of that part"):
        choose_pairs(defaults(DataConfig, data_dir=str(ponds)), "test")
    assert len(choose_pairs(defaults(DataConfig, data_dir=str(ponds)))) == 10


def test_a_table_or_a_split_file_that_is_a_pipe_is_refused_at_once(ponds):
    os.mkfifo(ponds / "pipe")
    for key in ("pairs_file", "split_file"):
        path = "pipe" if key == "pairs_file" else str(ponds / "pipe")
        with pytest.raises(DataError, match="pipe: .*is a pipe, a socket or a device"):
            choose_pairs(defaults(DataConfig, data_dir=[str(ponds)], **{key: path}))
    with pytest.raises(ConfigError, match="is a pipe, a socket or a device"):
        defaults(DataConfig, stats_file=str(ponds / "pipe"))
