"""The time that is left of a run, by a clock that stands still."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flood_seg.errors import OutputError
from flood_seg.products.progress import MapProgress
from flood_seg.scenes.grid import Block, Grid

GRID = Grid.of((40, 40), (10, 10), 0, 20)  # 4 blocks of 4 windows


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_time_left() -> None:
    clock, blocks = Clock(), list(GRID.blocks())
    progress = MapProgress(3, clock)

    def results(todo: list[Block]) -> Iterator[tuple[Block, None]]:
        for block in todo:
            clock.now += 8  # 2 s per window
            yield block, None

    scenes = progress.each("abc")
    next(scenes)
    assert progress.line() == ("[1/3] ", 0, "opening")
    assert progress.all_left() is None
    clock.now += 2  # to open the scene
    work = progress.track(results(blocks), "a", GRID, blocks)
    next(work)
    assert progress.scene_left() == 12 * 2
    assert progress.all_left() == 12 * 2 + 2 * 16 * (2 + 2 / 16)
    clock.now += 3
    assert progress.scene_left() == 21
    assert progress.line() == ("[1/3] a", 0.25, "1/4 blocks, 0 min 21 s left, 1 min 29 s left of all")
    clock.now -= 3
    assert len(list(work)) == 3
    clock.now += 6  # to write files: with opening, 0.5 s per window
    assert progress.line() == ("[1/3] a", 1, "writing files, 1 min 20 s left of all")
    assert progress.note() == "; scene 1 of 3, 1 min 20 s left"
    next(scenes)  # is complete
    clock.now += 100
    assert progress.all_left() == 2 * 16 * (2 + 0.5)
    next(scenes)
    assert progress.all_left() == 16 * (2 + 0.5)
    work = progress.track(results(blocks[2:]), "c", GRID, blocks[2:])  # half of it was done before
    next(work)
    assert progress.scene_left() == progress.all_left() == pytest.approx(4 * 2 + 16 * 0.5)
    assert progress.line() == ("[3/3] c", 0.75, "3/4 blocks, 0 min 16 s left")
    list(work)
    clock.now += 5
    assert progress.scene_left() == 16 * 0.5 - 5
    assert progress.note() == "; scene 3 of 3"


def test_a_scene_that_fails_does_not_count() -> None:
    clock, blocks = Clock(), list(GRID.blocks())
    progress = MapProgress(2, clock)
    scenes = progress.each("ab")
    next(scenes)
    clock.now += 50
    next(scenes)
    assert progress.all_left() is None
    work = progress.track(((block, None) for block in blocks), "b", GRID, blocks)
    next(work)
    assert progress.all_left() == 0
    assert MapProgress(1).note() == ""


def test_the_file_for_other_programs_is_always_whole(tmp_path: Path) -> None:
    clock, blocks, file = Clock(), list(GRID.blocks()), tmp_path / "progress.json"
    read = lambda: json.loads(file.read_bytes())  # noqa: E731

    def results() -> Iterator[tuple[Block, None]]:
        for block in blocks:
            clock.now += 8
            yield block, None

    with MapProgress(2, clock, file) as progress:
        assert read() == {"done": 0, "total": 0, "share": 0, "seconds_left": None, "phase": "opening"}
        for name in progress.each("ab"):
            work = progress.track(results(), name, GRID, blocks)
            next(work)
            if name == "a":
                expected = {
                    "done": 4,
                    "total": 16,
                    "share": 0.125,
                    "seconds_left": 12 * 2 + 16 * 2,
                    "phase": "segmenting",
                }
                end = time.monotonic() + 20
                while (found := read()) != expected:  # is written by a thread
                    assert time.monotonic() < end, found
                    time.sleep(0.02)
            list(work)
    assert read() == {"done": 16, "total": 16, "share": 1, "seconds_left": 0, "phase": "writing"}
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]
    with pytest.raises(OutputError, match="cannot be written"), MapProgress(1, clock, tmp_path / "progress.json" / "x"):
        pass
