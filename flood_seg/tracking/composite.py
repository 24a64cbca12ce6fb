"""All trackers of a run as one logger of Lightning's; none that fails ends the training."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

from pytorch_lightning.loggers import Logger

from flood_seg.config.instantiate import instantiate
from flood_seg.console import counted, warn
from flood_seg.errors import ConfigError
from flood_seg.tracking.contract import brief

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from flood_seg.tracking.contract import RunInfo, Tracker

SLOW_SECONDS = 5.0  # a call that fails after this long has waited for a server
RETRY_SECONDS = 300.0  # until the next call; a server that hangs costs half a minute each time


def open_trackers(nodes: Mapping[str, Any], run: RunInfo) -> Trackers:
    """Opens the trackers of the `logger` group, one for each key.

    Raises:
        TrackingError: one has no key, does not answer or cannot be opened; those before it are closed again.
        ConfigError: a node that is not a tracker.
    """
    opened: list[Tracker] = []
    try:
        for name, node in nodes.items():
            if not isinstance(node, dict) or "_target_" not in node:
                raise ConfigError(
                    f"logger.{name}={node}: a tracker is a group of keys with a _target_; see configs/logger/"
                )
            opened.append(instantiate(node, run))
    except Exception:
        Trackers(opened).close(failed=True)
        raise
    return Trackers(opened)


class Trackers(Logger):
    """Passes on to each tracker what Lightning logs, with the epoch as the step."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        super().__init__()
        self.trackers = list(trackers)
        self._guarded = [_Guarded(tracker) for tracker in trackers]

    @property
    def name(self) -> str:
        """The names of all."""
        return "+".join(tracker.name for tracker in self.trackers)

    @property
    def version(self) -> str:
        """Empty: versions are the services' own."""
        return ""

    @property
    def description(self) -> str:
        """Where the run is found, for people."""
        return "; ".join(tracker.description for tracker in self.trackers if tracker.description)

    @property
    def worst(self) -> int:
        """How many images of the worst validation samples are needed."""
        return max((tracker.worst for tracker in self.trackers), default=0)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: a tracker gets the parameters when it is opened."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Passes on the metrics of an epoch."""
        for guarded in self._guarded:
            guarded.log_metrics(metrics, int(metrics.get("epoch", step or 0)))

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Passes on an image, uint8 [H, W, 3] RGB, to the trackers that show them."""
        for guarded in self._guarded:
            if guarded.tracker.worst:
                guarded.attempt("image", guarded.tracker.log_image, name, image, epoch)

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Passes on files, by the name of their folder."""
        for guarded in self._guarded:
            for folder, paths in files.items():
                for path in paths:
                    guarded.attempt("file", guarded.tracker.log_file, folder, path)

    def finalize(self, status: str) -> None:
        """Marks a run that was interrupted as failed; one that succeeded ends after its files were recorded."""
        if status != "success":
            self.close(failed=True)

    def close(self, *, failed: bool = False) -> None:
        """Ends the run in each."""
        for guarded in self._guarded:
            guarded.close(failed)


class _Guarded:
    """Calls a tracker such that a service that stops answering does not end hours of training.

    The first failure of each kind is a warning. Metrics that could not be sent are sent with the next ones or at the
    end; an image or a file is lost, and the next one is tried. A service that hangs is left alone for five minutes.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._unsent: list[tuple[Mapping[str, float], int]] = []
        self._failures = Counter[str]()
        self._next_try = 0.0

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        self._unsent.append((dict(metrics), epoch))
        self.attempt("metrics", self._send)

    def _send(self) -> None:
        while self._unsent:
            self.tracker.log_metrics(*self._unsent[0])
            self._unsent.pop(0)

    def attempt(self, kind: str, call: Callable[..., None], *arguments: Any) -> None:
        started = time.monotonic()
        if started < self._next_try:
            self._failures[kind] += 1
            return
        try:
            call(*arguments)
        except Exception as error:  # a service may raise anything
            self._failures[kind] += 1
            if self._failures[kind] == 1:
                warn(
                    f"{self.tracker.name} failed to record the {kind} ({brief(error)}); training goes on, all lies in "
                    "the run's folder too"
                )
            if time.monotonic() - started > SLOW_SECONDS:
                self._next_try = time.monotonic() + RETRY_SECONDS

    def close(self, failed: bool) -> None:
        """Sends the metrics that are missing, and ends the run."""
        self._next_try = 0.0
        self.attempt("metrics", self._send)
        self.attempt("end", lambda: self.tracker.close(failed=failed))
        lost = [counted(self._failures[kind], kind) for kind in ("image", "file") if self._failures[kind]]
        lost += [f"{counted(len(self._unsent), 'set')} of metrics"] if self._unsent else []
        if lost:
            warn(f"{self.tracker.name} lost {', '.join(lost)} of the run")
