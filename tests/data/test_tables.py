from pathlib import Path

import pytest

from flood_seg.data.pairing import Pair
from flood_seg.data.tables import read_groups
from flood_seg.errors import DataError, UsageError

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
