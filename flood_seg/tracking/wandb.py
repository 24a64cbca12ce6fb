"""Weights & Biases, online or into a folder that `wandb sync` uploads later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import TrackingError
from flood_seg.files import shorten
from flood_seg.tracking.contract import LightningTracker, brief

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import wandb

    from flood_seg.tracking.contract import RunInfo

START_SECONDS = 20.0


class WandbTracker(LightningTracker):
    """Records a run in Weights & Biases."""

    name = "Weights & Biases"
    stores_files = True

    def __init__(self, run: RunInfo, project: str, entity: str | None, mode: str, worst: int) -> None:
        """Starts or resumes a run.

        Raises:
            TrackingError: there is no key, or the server does not answer.
        """
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        mode = os.environ.get("WANDB_MODE", mode)
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            raise TrackingError(
                "logger.wandb: there is no key; run 'wandb login', set WANDB_API_KEY, or use logger.wandb.mode=offline"
            )
        settings = wandb.Settings(silent=True, console="off", init_timeout=START_SECONDS)
        logger = WandbLogger(
            name=run.name, save_dir=run.folder, version=run.known_id("wandb"), project=project,
            entity=entity, mode=mode, settings=settings,
        )  # fmt: skip
        try:
            self._run: wandb.Run = logger.experiment
            super().__init__(logger, run)
        except Exception as error:  # wandb's own families, and those of its transport
            raise TrackingError(
                f"logger.wandb: cannot start ({brief(error)}); try logger.wandb.mode=offline"
            ) from error
        run.keep_id("wandb", self._run.id)
        self.worst = worst
        self._artifacts: dict[str, wandb.Artifact] = {}
        self._run.define_metric("*", step_metric="epoch", overwrite=True)  # Lightning's is the number of batches
        place = Path(self._run.dir).parent
        self.description = f"wandb sync {shorten(place)}" if mode == "offline" else str(self._run.url)

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Sends metrics; those of training and validation are joined by their epoch."""
        self._logger.log_metrics({**metrics, "epoch": epoch})

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Sends an image."""
        import wandb

        self._run.log({name: wandb.Image(image), "epoch": epoch})

    def log_file(self, folder: str, path: Path) -> None:
        """Adds a file to the folder's artifact, which is sent at the end."""
        import wandb

        if folder not in self._artifacts:
            self._artifacts[folder] = wandb.Artifact(f"{self._run.id}-{folder}", type=folder)
        self._artifacts[folder].add_file(str(path))

    def log_dataset(self, name: str, folder: Path) -> None:
        """Sends a folder as an artifact of type `dataset`, with a version of its own."""
        import wandb

        artifact = wandb.Artifact(name, type="dataset")
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact)

    def close(self, *, failed: bool) -> None:
        """Sends the artifacts and ends the run."""
        for artifact in self._artifacts.values():
            self._run.log_artifact(artifact)
        self._run.finish(exit_code=int(failed))
