"""Comet, online or into an archive that `comet upload` sends later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from flood_seg.errors import TrackingError
from flood_seg.files import shorten
from flood_seg.tracking.contract import brief, keep_id, known_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from flood_seg.tracking.contract import RunInfo


class CometTracker:
    """Keeps a run in Comet."""

    name = "Comet"

    def __init__(self, run: RunInfo, project: str, workspace: str | None, mode: str, worst: int) -> None:
        """Starts or resumes an experiment.

        Args:
            run: what to log at the start.
            project: is made where it is missing.
            workspace: None: the key's own.
            mode: `online` or `offline`.
            worst: samples that are drawn in each epoch.

        Raises:
            TrackingError: no key, or the server does not answer.
        """
        os.environ.setdefault("COMET_LOGGING_CONSOLE", "error")  # else it tells of each file
        import comet_ml

        online = mode == "online"
        if online and not comet_ml.config.get_config()["comet.api_key"]:
            raise TrackingError(
                "logger.comet: there is no key; run 'comet login', set COMET_API_KEY, or use logger.comet.mode=offline"
            )
        options: dict[str, Any] = {"offline_directory": str(run.folder)} if not online else {}
        settings = comet_ml.ExperimentConfig(
            name=run.name, log_code=False, log_env_details=False, auto_output_logging=False, parse_args=False,
            log_git_metadata=False, auto_param_logging=False, auto_metric_logging=False, display_summary_level=0,
            **options,
        )  # fmt: skip
        try:
            self._experiment = comet_ml.start(
                project_name=project, workspace=workspace, online=online, experiment_key=known_id(run, "comet"),
                experiment_config=settings,
            )  # fmt: skip
        except Exception as error:  # Comet's own families, and those of its transport
            raise TrackingError(
                f"logger.comet: cannot start ({brief(error)}); try logger.comet.mode=offline"
            ) from error
        keep_id(run, "comet", self._experiment.get_key())
        self._experiment.log_parameters({key: str(value) for key, value in run.params.items()})
        self._experiment.log_other("git_commit", run.git_commit)
        self.worst = worst
        archive = run.folder / f"{self._experiment.get_key()}-*.zip"  # it adds some letters
        self.description = str(self._experiment.url) if online else f"comet upload {shorten(archive)}"

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Sends metrics."""
        self._experiment.log_metrics(dict(metrics), step=epoch, epoch=epoch)

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Sends a picture."""
        self._experiment.log_image(image, name=name, step=epoch)

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Sends files as assets, by folder."""
        for folder, paths in files.items():
            for path in paths:
                self._experiment.log_asset(str(path), file_name=f"{folder}/{path.name}")

    def close(self, *, failed: bool) -> None:
        """Ends the experiment, and writes the archive of an offline one."""
        self._experiment.end()
