"""How far a run over scenes is, and the time that is left of a scene and of all."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flood_seg.console import duration, live_line
from flood_seg.errors import OutputError
from flood_seg.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from flood_seg.errors import FloodSegError
    from flood_seg.scenes.grid import Block, Grid

T = TypeVar("T")

FILE_SECONDS = 0.5  # between two writings of the file for other programs


@dataclass
class _Pace:
    """The seconds that windows have taken."""

    seconds: float = 0
    windows: int = 0

    def add(self, seconds: float, windows: int) -> None:
        self.seconds, self.windows = self.seconds + seconds, self.windows + windows

    @property
    def per_window(self) -> float:
        return self.seconds / self.windows if self.windows else 0


class MapProgress:
    """The progress of a run; as a context manager it shows a line on a terminal, and writes a file for other programs.

    The time left is that of the windows so far: of the model, and of all else that a scene takes, divided by its
    windows. A scene that is not opened yet counts as the mean of those that were computed, so that none is opened for
    the estimate alone; it improves with each scene. Scenes that are skipped count neither way.
    """

    def __init__(
        self, scenes: int, clock: Callable[[], float] = time.perf_counter, file: str | Path | None = None
    ) -> None:
        """Takes the number of scenes, what returns seconds, and the file of `map.progress_file`."""
        self._scenes, self._file, self._clock = scenes, Path(file) if file else None, clock
        self._opened, self._computed, self._computed_windows = 0, 0, 0  # scenes, the current one among them
        self._name, self._blocks, self._done = "", 0, 0  # of the current scene
        self._windows, self._todo = 0, 0  # of it, and of those that have no result yet
        self._model, self._rest = _Pace(), _Pace()
        self._since = clock()  # the last event
        self._shown = ExitStack()

    def __enter__(self) -> MapProgress:
        """Raises OutputError where the file cannot be written."""
        self._shown.enter_context(live_line(self.line))
        if self._file:
            self._shown.enter_context(_kept_up_to_date(self._file, self.record))
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()

    def each(self, scenes: Iterable[T]) -> Iterator[T]:
        """Passes the scenes on."""
        for scene in scenes:
            self._opened, self._name, self._windows = self._opened + 1, "", 0
            self._tick()
            yield scene
            if self._windows and not self._todo:
                self._rest.add(self._tick(), self._windows)

    def track(
        self, results: Iterable[tuple[Block, FloodSegError | None]], name: str, grid: Grid, todo: Sequence[Block]
    ) -> Iterator[tuple[Block, FloodSegError | None]]:
        """Passes the results of a scene's blocks on.

        Args:
            results: of the blocks in `todo`, each once.
            name: of the scene.
            grid: of the scene.
            todo: its blocks without a result of an earlier run.
        """
        self._rest.add(self._tick(), 0)
        self._name, self._blocks, self._done = name, grid.block_count, grid.block_count - len(todo)
        self._todo = sum(map(grid.windows_in, todo))
        self._windows = grid.window_count
        self._computed, self._computed_windows = self._computed + 1, self._computed_windows + self._windows
        for block, error in results:
            windows = grid.windows_in(block)
            self._model.add(self._tick(), windows)
            self._todo, self._done = self._todo - windows, self._done + 1
            yield block, error

    def scene_left(self) -> float | None:
        """Returns the seconds that are left of the current scene, of the first one without its files; None: unknown."""
        known = self._model.windows if self._todo else self._rest.windows
        if not (self._windows and known):
            return None
        expected = self._model.per_window * self._todo + self._rest.per_window * self._windows
        return max(0.0, expected - (self._clock() - self._since))

    def all_left(self) -> float | None:
        """Returns the seconds that are left of all scenes; None: unknown."""
        if not self._model.windows:
            return None
        waiting = self._scenes - self._opened + (not self._windows)
        return (self.scene_left() or 0) + waiting * self._mean()

    def _mean(self) -> float:
        """Returns the seconds of a scene that is computed; of the first one, with the files that it has so far."""
        writing = self._clock() - self._since if self._windows and not self._todo else 0
        rest = (self._rest.seconds + writing) / (self._rest.windows + self._windows or 1)
        per_window = self._model.per_window + max(rest, self._rest.per_window)
        return per_window * self._computed_windows / self._computed

    def note(self) -> str:
        """Returns how far the run is with the current scene, to end a line on its result; empty of a single scene."""
        if self._scenes == 1:
            return ""
        waiting = self._scenes - self._opened
        left = f", {duration(waiting * self._mean())} left" if waiting and self._model.windows else ""
        return f"; scene {self._opened} of {self._scenes}{left}"

    def line(self) -> tuple[str, float, str]:
        """Returns the name of the current scene, the share of its windows that is done, and words on the rest."""
        name = (f"[{self._opened}/{self._scenes}] " if self._scenes > 1 else "") + self._name
        if not self._windows:
            return name, 0, "opening"
        words = [f"{self._done}/{self._blocks} blocks" if self._todo else "writing files"]
        if (left := self.scene_left()) is not None:
            words.append(f"{duration(left)} left")
        if self._opened < self._scenes and (left := self.all_left()) is not None:
            words.append(f"{duration(left)} left of all")
        return name, 1 - self._todo / self._windows, ", ".join(words)

    def record(self) -> dict[str, Any]:
        """Returns it as JSON: windows of the current scene, the share of those of all scenes, and the phase."""
        done, left = self._windows - self._todo, self.all_left()
        begun = (done / self._windows if self._windows else 0) + max(self._opened - 1, 0)
        return {
            "done": done,
            "total": self._windows,
            "share": round(begun / self._scenes, 4) if self._scenes else 1.0,
            "seconds_left": None if left is None else round(left, 1),
            "phase": ("segmenting" if self._todo else "writing") if self._windows else "opening",
        }

    def _tick(self) -> float:
        """Returns the seconds since the last event."""
        before, self._since = self._since, self._clock()
        return self._since - before


@contextmanager
def _kept_up_to_date(file: Path, record: Callable[[], Any]) -> Iterator[None]:
    """Writes a record to a file meanwhile, at the begin, at the end, and when it has changed; raises OutputError."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(FILE_SECONDS):
            with suppress(OutputError):  # the disk is full, which the results will say
                write_json(file, record())

    write_json(file, record())
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
        with suppress(OutputError):
            write_json(file, record())
