"""Weights & Biases, online or into a folder that `wandb sync` sends later."""

from __future__ import annotations

import os
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from flood_seg.errors import TrackingError
from flood_seg.files import shorten
from flood_seg.tracking.contract import brief, keep_id, known_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from flood_seg.tracking.contract import RunInfo

START_SECONDS = 20.0


class WandbTracker:
    """Keeps a run in Weights & Biases."""

    name = "Weights & Biases"

    def __init__(self, run: RunInfo, project: str, entity: str | None, mode: str, worst: int) -> None:
        """Starts or resumes a run.

        Args:
            run: what to log at the start.
            project: is made where it is missing.
            entity: a user or a team; None: the key's own.
            mode: `online` or `offline`; the environment's WANDB_MODE wins.
            worst: samples that are drawn in each epoch.

        Raises:
            TrackingError: no key, or the server does not answer.
        """
        import wandb

        mode = os.environ.get("WANDB_MODE", mode)
        if mode == "online" and not _key():
            raise TrackingError(
                "logger.wandb: there is no key; run 'wandb login', set WANDB_API_KEY, or use logger.wandb.mode=offline"
            )
        settings = wandb.Settings(silent=True, console="off", init_timeout=START_SECONDS)
        known = known_id(run, "wandb")
        try:
            self._run = wandb.init(
                project=project, entity=entity, name=run.name, dir=run.folder, mode=mode,  # type: ignore[arg-type]
                config=run.params | {"git_commit": run.git_commit}, settings=settings,
                id=known, resume="allow" if known else None,
            )  # fmt: skip
        except Exception as error:  # wandb's own families, and those of its transport
            raise TrackingError(
                f"logger.wandb: cannot start ({brief(error)}); try logger.wandb.mode=offline"
            ) from error
        keep_id(run, "wandb", self._run.id)
        self.worst = worst
        self._run.define_metric("*", step_metric="epoch")
        place = Path(self._run.dir).parent
        self.description = f"wandb sync {shorten(place)}" if mode == "offline" else str(self._run.url)

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Sends metrics; those of training and validation are joined by their epoch."""
        self._run.log({**metrics, "epoch": epoch})

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Sends a picture."""
        import wandb

        self._run.log({name: wandb.Image(image), "epoch": epoch})

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Sends files, an artifact a folder."""
        import wandb

        for folder, paths in files.items():
            artifact = wandb.Artifact(f"{self._run.id}-{folder}", type=folder)
            for path in paths:
                artifact.add_file(str(path))
            if paths:
                self._run.log_artifact(artifact)

    def close(self, *, failed: bool) -> None:
        """Ends the run."""
        self._run.finish(exit_code=int(failed))


def _key() -> str | None:
    """Returns the key that wandb would use: of the environment, or of `wandb login`, which writes it into ~/.netrc."""
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        known = netrc().authenticators(host)
    except (OSError, NetrcParseError):
        known = None
    return os.environ.get("WANDB_API_KEY") or (known[2] if known else None)
