"""Samples that cannot be used are named by kind: three of each, and how many there are."""

import pytest

from flood_seg.config.compose import compose
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import find_samples, warn_of
from flood_seg.data.reading import SampleReader
from flood_seg.data.stats import measure
from flood_seg.errors import FindingsError
from flood_seg.skipped import KINDS, LeftOut, first_of, grouped, kind_of
from flood_seg.workshop.statistics import measure_images
from tests.workshop.tools import check, split


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def config_of(folder, *more: str) -> DataToolsConfig:
    return compose("data", [f"datamodule.data_dir='{folder}'", *more], DataToolsConfig)


def test_three_of_a_kind_are_named_at_once_and_the_rest_is_counted_with_the_place_of_the_list(capsys):
    with LeftOut("--json lists each") as left_out:
        for number in range(150):
            left_out.add(f"{number}.png", f"/data/masks/{number}.png: is {number}×80, not {number}×60")
            if number == 2:
                assert len(capsys.readouterr().err.splitlines()) == 3
        left_out.add("odd", "the file is empty")
    assert lines(capsys) == [
        "flood-seg: odd left out: the file is empty",
        "flood-seg: 147 more left out, 150 in all: is N×N, not N×N; --json lists each",
    ]
    assert len(left_out) == 151 and left_out.reasons["odd"] == "the file is empty"


def test_the_rest_is_counted_when_the_work_ends_by_an_error(capsys):
    with pytest.raises(ZeroDivisionError), LeftOut() as left_out:
        for number in range(5):
            left_out.add(str(number), "no mask")
        raise ZeroDivisionError
    assert lines(capsys)[-1] == "flood-seg: 2 more left out, 5 in all: no mask; FLOOD_SEG_FAULTS=all names each"


def test_faults_that_all_differ_fill_no_screen_either(capsys):
    with LeftOut() as left_out:
        for number in range(300):
            left_out.add(str(number), "".join(chr(97 + int(digit)) for digit in str(number)))
    told = lines(capsys)
    assert len(told) == KINDS + 1 and told[-1].startswith(
        f"flood-seg: {300 - KINDS} more left out, {300 - KINDS} in all: other"
    )


def test_each_is_named_where_that_is_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("FLOOD_SEG_FAULTS", "all")
    with LeftOut() as left_out:
        for number in range(20):
            left_out.add(str(number), "no mask")
    assert len(lines(capsys)) == 20 and first_of(list("abcdef")) == "a, b, c, d, e, f"


def test_kinds_pass_over_names_and_numbers():
    assert kind_of("a 7", "/my data/images/a 7.jpg: holds 3 bands, not 'red'") == "holds N bands, not '...'"
    assert kind_of("scene", "mask of another shape: 7.5×8") == "mask of another shape: N×N"
    assert grouped([("a", "x 1"), ("b", "x 2"), ("c", "y 3")]) == [("x N", ["a", "b"]), ("y 3", ["c"])]
    assert first_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.fixture
def broken(ponds):
    """Ten ponds, of which six are empty files and a mask has no image; as many again have a mask alone."""
    for number in range(6):
        (ponds / "images" / f"{number:02d}.jpg").write_bytes(b"")
    for number in range(20, 26):
        (ponds / "masks" / f"{number}.png").write_bytes((ponds / "masks" / "00.png").read_bytes())
    return ponds


def test_files_without_a_partner_are_grouped(broken, capsys):
    _, faults = find_samples(config_of(broken).datamodule)
    warn_of(faults)
    assert lines(capsys) == [
        *(f"flood-seg: {number}.png left out: mask without an image" for number in (20, 21, 22)),
        "flood-seg: 3 more left out, 6 in all: mask without an image; flood-seg data check lists each",
    ]


@pytest.mark.parametrize("verb", ["measure", "measure_images", "split"])
def test_verbs_of_data_sets_group_what_they_cannot_read(broken, tmp_path, capsys, verb):
    config = config_of(broken)
    pairs, _ = find_samples(config.datamodule)
    reader = SampleReader.of(config.datamodule, config.task)
    if verb == "measure":
        assert measure(pairs, reader).count
    elif verb == "measure_images":
        assert len(measure_images(pairs, reader, 255)) == 4
    else:
        split(config, tmp_path / "split.txt")
    told = [line for line in lines(capsys) if "empty" in line]
    assert len(told) == 4 and told[-1].endswith("6 in all: the file is empty; flood-seg data check lists each")


def test_the_check_names_three_of_a_kind_on_the_screen_and_all_in_its_files(broken, tmp_path, capsys):
    with pytest.raises(FindingsError):
        check(config_of(broken), tmp_path)
    out = capsys.readouterr().out
    assert out.count("mask without an image") == 3 and out.count("the file is empty") == 3
    assert "and 6 more of these kinds; report.json lists each" in out
    assert (tmp_path / "report.json").read_text().count("the file is empty") == 6


def test_warn_of_nothing_says_nothing(capsys):
    warn_of([])
    with LeftOut():
        pass
    assert lines(capsys) == []
