import os
import random

import pytest

from flood_seg.data.split import random_split, read_split, write_split
from flood_seg.errors import DataError

STEMS = [f"photo {number}" for number in range(50)]


def test_a_split_depends_on_seed_and_stems_not_on_their_order():
    shuffled = random.Random(1).sample(STEMS, len(STEMS))
    assert random_split(STEMS, 0.2, 42) == random_split(shuffled, 0.2, 42)
    assert random_split(STEMS, 0.2, 42) != random_split(STEMS, 0.2, 43)


def test_the_parts_are_disjoint_and_of_the_share_that_was_asked_for():
    split = random_split(STEMS, 0.2, 0)
    assert len(split.val) == 10
    assert sorted(split.train + split.val) == sorted(STEMS)


def test_a_new_photo_moves_at_most_one_other():
    before, after = random_split(STEMS, 0.2, 0), random_split([*STEMS, "new"], 0.2, 0)
    assert len(set(before.val) - set(after.val)) <= 1


@pytest.mark.parametrize(("stems", "share", "part"), [(["a"], 0.2, "validation"), (["a"], 0.9, "training")])
def test_an_empty_part_is_an_error(stems, share, part):
    with pytest.raises(DataError, match=f"empty {part} part"):
        random_split(stems, share, 0)


def test_a_split_file_gives_the_split_back(tmp_path):
    split = random_split([*STEMS, "ü b\u3042"], 0.3, 7)
    write_split(tmp_path / "split.txt", split)
    assert read_split(tmp_path / "split.txt", [*STEMS, "ü b\u3042", "unnamed"]) == split


@pytest.mark.parametrize(
    "stem",
    [os.fsdecode(b"caf\xe9"), "a\nb", "a\r", "a\x85b", "a\u2028b", "tab\tin", '"quoted"', '"', " blank ", "a\\nb"],
)
def test_every_stem_that_a_file_can_have_comes_back(tmp_path, stem):
    split = random_split([*STEMS, stem], 0.3, 7)
    write_split(tmp_path / "split.txt", split)
    assert read_split(tmp_path / "split.txt", [*STEMS, stem]) == split
    assert (tmp_path / "split.txt").read_bytes().count(b"\n") == len(STEMS) + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train a\nval\tb\n", ":1: expected"),
        ("train\ta\ntset\tb\n", ":2: expected"),
        ("train\ta\nval\ta\n", ":2: 'a' is named twice"),
        ("train\ta\nval\tgone\n", "1 stems have no usable pair, the first is 'gone'"),
        ("train\ta\n", "the val part is empty"),
    ],
)
def test_a_wrong_split_file_says_where(tmp_path, text, message):
    (tmp_path / "split.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_split(tmp_path / "split.txt", ["a", "b"])


def test_a_missing_split_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no.txt"):
        read_split(tmp_path / "no.txt", ["a"])


def test_a_file_that_is_no_text_and_a_line_without_end_are_one_short_line(tmp_path):
    for content in (b"\xff\xd8\xff\xe0\0\x10JFIF", b"\x89PNG\r\n\x1a\n\0\0", b"x" * 100_000):
        (tmp_path / "split.txt").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read .it is not a text file.|:1: expected") as error:
            read_split(tmp_path / "split.txt", ["a"])
        assert len(str(error.value)) < 400
