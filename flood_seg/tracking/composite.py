"""All trackers of a run as one logger of Lightning's; none that fails takes the training with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

from pytorch_lightning.loggers import Logger

from flood_seg.config.compose import instantiate
from flood_seg.console import warn
from flood_seg.errors import ConfigError
from flood_seg.tracking.contract import brief

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from flood_seg.tracking.contract import RunInfo, Tracker


def open_trackers(nodes: Mapping[str, Any], run: RunInfo) -> Trackers:
    """Opens what the `logger` group names, a tracker a key.

    Raises:
        TrackingError: one has no key, does not answer or cannot be opened; those before it are closed again.
        ConfigError: a node that is no tracker.
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
    """Passes on to each tracker what Lightning logs, with the epoch as its step."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        super().__init__()
        self.trackers = list(trackers)
        self._warned: set[str] = set()

    @property
    def name(self) -> str:
        """Of all."""
        return "+".join(tracker.name for tracker in self.trackers)

    @property
    def version(self) -> str:
        """None has one."""
        return ""

    @property
    def description(self) -> str:
        """Where the run is found, for people."""
        return "; ".join(tracker.description for tracker in self.trackers if tracker.description)

    @property
    def worst(self) -> int:
        """How many pictures of the worst validation samples are wanted."""
        return max((tracker.worst for tracker in self.trackers), default=0)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: a tracker has the parameters from the beginning."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Passes an epoch's metrics on."""
        epoch = int(metrics.get("epoch", step or 0))
        self._each(lambda tracker: tracker.log_metrics(metrics, epoch))

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Passes a picture, uint8 [H, W, 3] RGB, on to those who want it."""
        self._each(lambda tracker: tracker.log_image(name, image, epoch) if tracker.worst else None)

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Passes files on, by the name of their folder."""
        self._each(lambda tracker: tracker.log_artifacts(files))

    def finalize(self, status: str) -> None:
        """Marks a run that broke off as failed; one that succeeded ends after its files were kept."""
        if status != "success":
            self.close(failed=True)

    def close(self, *, failed: bool = False) -> None:
        """Ends the run in each."""
        self._each(lambda tracker: tracker.close(failed=failed))

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for tracker in self.trackers:
            try:
                action(tracker)
            except Exception as error:  # a service may raise anything
                if tracker.name not in self._warned:
                    warn(f"{tracker.name} failed ({brief(error)}); training goes on, all lies in the run's folder too")
                self._warned.add(tracker.name)
