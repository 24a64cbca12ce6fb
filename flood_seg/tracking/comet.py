"""Comet, online or into an archive that `comet upload` uploads later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flood_seg.errors import TrackingError
from flood_seg.files import shorten
from flood_seg.tracking.contract import LightningTracker, brief

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from flood_seg.tracking.contract import RunInfo


class CometTracker(LightningTracker):
    """Records a run in Comet."""

    name = "Comet"
    stores_files = True

    def __init__(self, run: RunInfo, project: str, workspace: str | None, mode: str, worst: int) -> None:
        """Starts or resumes an experiment.

        Raises:
            TrackingError: there is no key, or the server does not answer.
        """
        os.environ.setdefault("COMET_LOGGING_CONSOLE", "error")  # else it reports each file
        import comet_ml
        from pytorch_lightning.loggers import CometLogger

        online = mode == "online"
        if online and not comet_ml.config.get_config()["comet.api_key"]:
            raise TrackingError(
                "logger.comet: there is no key; run 'comet login', set COMET_API_KEY, or use logger.comet.mode=offline"
            )
        # Not by CometLogger(online=False): Lightning 2.6 then disables the experiment, which writes no archive.
        os.environ["COMET_START_ONLINE"] = str(online).lower()
        try:
            logger = CometLogger(
                project=project, workspace=workspace, experiment_key=run.known_id("comet"), name=run.name,
                offline_directory=None if online else str(run.folder), log_code=False, log_env_details=False,
                auto_output_logging=False, parse_args=False, log_git_metadata=False, auto_param_logging=False,
                auto_metric_logging=False, display_summary_level=0,
            )  # fmt: skip
            super().__init__(logger, run)
        except Exception as error:  # Comet's own families, and those of its transport
            raise TrackingError(
                f"logger.comet: cannot start ({brief(error)}); try logger.comet.mode=offline"
            ) from error
        self._experiment = logger.experiment
        run.keep_id("comet", self._experiment.get_key())
        self.worst = worst
        archive = run.folder / f"{self._experiment.get_key()}-*.zip"  # it appends some letters
        self.description = str(self._experiment.url) if online else f"comet upload {shorten(archive)}"

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Sends an image."""
        self._experiment.log_image(image, name=name, step=epoch)

    def log_file(self, folder: str, path: Path) -> None:
        """Sends a file as an asset."""
        self._experiment.log_asset(str(path), file_name=f"{folder}/{path.name}")

    def close(self, *, failed: bool) -> None:
        """Ends the experiment, and writes the archive of an offline one."""
        self._experiment.end()
