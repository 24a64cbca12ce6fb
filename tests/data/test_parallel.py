import threading
from pathlib import Path

import pytest

from flood_seg.data import parallel as parallel_module
from flood_seg.data.pairing import Pair
from flood_seg.data.parallel import parallel_map, read_pairs
from flood_seg.errors import DataError, ImageError

PAIRS = [Pair(f"{number:02d}", Path(f"{number:02d}.png"), Path(f"{number:02d}.png")) for number in range(30)]


def test_pairs_come_in_their_order_and_those_that_cannot_be_used_are_named_once(capsys):
    def work(pair: Pair) -> int:
        if int(pair.stem) % 5 == 2:
            raise ImageError(f"{pair.image}: the file is empty")
        return int(pair.stem)

    found = list(read_pairs(PAIRS, work, "Reading", listing="--json lists each"))
    assert found == [(pair, int(pair.stem)) for pair in PAIRS if int(pair.stem) % 5 != 2]
    assert capsys.readouterr().err.splitlines() == [
        *(f"flood-seg: {stem} left out: {stem}.png: the file is empty" for stem in ("02", "07", "12")),
        "flood-seg: 3 more left out, 6 in all: the file is empty; --json lists each",
    ]


def test_however_slow_the_consumer_is_few_results_wait_for_it(monkeypatch):
    monkeypatch.setattr(parallel_module, "cores", lambda: 2)
    done, most = [], 0
    for taken, _ in enumerate(parallel_map(done.append, range(200), "Reading", threads=8), 1):
        most = max(most, len(done) - taken)
    assert len(done) == 200 and most <= 4


def test_an_error_of_the_data_set_as_a_whole_ends_the_work():
    begun, before = list[int](), threading.active_count()

    def work(number: int) -> int:
        begun.append(number)
        if number == 5:
            raise DataError("the value 7 is not listed")
        return number

    with pytest.raises(DataError, match="value 7"):
        list(parallel_map(work, range(200), "Reading"))
    assert len(begun) < 50 and threading.active_count() < before + 10
