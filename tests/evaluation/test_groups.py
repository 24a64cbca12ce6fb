from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from flood_seg.data.pairing import Pair
from flood_seg.errors import DataError, UsageError
from flood_seg.evaluation.groups import places_by_group, read_groups, slices

PAIRS = [Pair(f"{event}/{n}", Path(f"{event}/images/{n}.jpg"), Path("m.png")) for event in ("ahr", "po") for n in "12"]


def test_the_folders_of_a_stem_are_groups():
    assert read_groups("folder", PAIRS) == {"ahr/1": "ahr", "ahr/2": "ahr", "po/1": "po", "po/2": "po"}
    plain = [Pair("1", Path("set/images/1.jpg"), Path("m.png"))]
    assert read_groups("folder", plain) == {"1": "images"}


@pytest.mark.parametrize("column", ["stem", "image"])
def test_a_table_names_groups_by_stem_or_file(tmp_path, column):
    names = {"stem": ("ahr/1", "po/2"), "image": ("images/1.jpg", "images/2.jpg")}[column]
    pairs = [PAIRS[0], PAIRS[3], Pair("x", Path("images/x.jpg"), Path("m.png"))]
    table = tmp_path / "events.csv"
    table.write_text(f"{column},event\n{names[0]},July\n{names[1]},May\n")
    assert read_groups(f"{table}:event", pairs) == {"ahr/1": "July", "po/2": "May", "x": "(none)"}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("events", UsageError, "give folder, or FILE.csv:COLUMN"),
        ("none.csv:event", DataError, "cannot be read as a table"),
        ("table.csv:flood", DataError, "its columns are stem, event"),
        ("table.csv:event", DataError, "names none of the 4 images; its first is 'other'"),
    ],
)
def test_what_groups_nothing_is_one_line(tmp_path, monkeypatch, text, error, message):
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("stem,event\nother,1\n")
    with pytest.raises(error, match=message):
        read_groups(text, PAIRS)


def test_slices_are_quarters_that_hold_every_photo_once():
    values = np.random.default_rng(0).random(83)
    found = slices(values, " MP", 2)
    assert sorted(np.concatenate([one.places for one in found])) == list(range(83))
    assert [len(one.places) for one in found] == [21, 20, 21, 21] or max(len(one.places) for one in found) <= 22
    bounds = [values[one.places] for one in found]
    assert all(low.max() <= high.min() for low, high in pairwise(bounds))


def test_photos_of_one_size_are_one_slice():
    (only,) = slices([2.0] * 5, " MP", 1)
    assert only.label == "2.0 MP" and len(only.places) == 5


def test_the_largest_group_comes_first():
    found = places_by_group(["a", "b", "c"], {"a": "x", "b": "y", "c": "y"})
    assert [(one.label, one.places.tolist()) for one in found] == [("y", [1, 2]), ("x", [0])]
