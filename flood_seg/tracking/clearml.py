"""ClearML, online or into an archive that `clearml-task --import` reads later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import TrackingError
from flood_seg.files import shorten
from flood_seg.tracking.contract import Tracker, brief

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from flood_seg.tracking.contract import RunInfo


class ClearMlTracker(Tracker):
    """Records a run as a ClearML task."""

    name = "ClearML"
    stores_files = True

    def __init__(self, run: RunInfo, project: str, mode: str, worst: int) -> None:
        """Starts or resumes a task.

        Raises:
            TrackingError: there is no configuration, or the server does not answer.
        """
        if mode == "online" and not _is_configured():
            raise TrackingError(
                "logger.clearml: there is no clearml.conf; run 'clearml-init', set CLEARML_API_ACCESS_KEY and "
                "CLEARML_API_SECRET_KEY, or use logger.clearml.mode=offline"
            )
        os.environ.setdefault("CLEARML_LOG_LEVEL", "ERROR")
        from clearml import Task

        # Where a process trains several runs, a forked reporter waits forever for locks of threads that the fork left
        # behind. clearml.conf has a key for it; the environment has none.
        Task._report_subprocess_enabled = False
        Task.set_offline(mode == "offline")
        known = run.known_id("clearml") if mode == "online" else None
        try:
            self._task = Task.init(
                project_name=project, task_name=run.name, reuse_last_task_id=known or False,
                continue_last_task=known or False, auto_connect_arg_parser=False, auto_connect_frameworks=False,
                auto_resource_monitoring=False, auto_connect_streams=False,
            )  # fmt: skip
        except Exception as error:  # ClearML's own, and those of its transport
            raise TrackingError(
                f"logger.clearml: cannot start ({brief(error)}); try logger.clearml.mode=offline"
            ) from error
        run.keep_id("clearml", self._task.id)
        self._task.set_parameters({key: str(value) for key, value in run.params.items()})
        self._task.set_parameter("git_commit", run.git_commit or "")
        self.worst = worst
        offline = shorten(Path(str(self._task.get_offline_mode_folder()))) if mode == "offline" else None
        self.description = f"ClearML archive {offline}.zip" if offline else self._task.get_output_log_web_page()

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Sends metrics; training and validation are two series of one plot."""
        for name, value in metrics.items():
            part, _, title = name.partition("_")
            if title:
                self._task.get_logger().report_scalar(title, part, float(value), epoch)

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Sends an image."""
        self._task.get_logger().report_image("worst", name, epoch, image=image)

    def log_file(self, folder: str, path: Path) -> None:
        """Sends a file as an artifact."""
        self._task.upload_artifact(f"{folder}/{path.name}", artifact_object=str(path))

    def log_dataset(self, name: str, folder: Path) -> None:
        """Sends a folder as one artifact, zipped."""
        self._task.upload_artifact(name, artifact_object=str(folder))

    def close(self, *, failed: bool) -> None:
        """Ends the task."""
        if failed and not self._task.is_offline():
            self._task.mark_failed()
        self._task.close()


def _is_configured() -> bool:
    file = Path(os.environ.get("CLEARML_CONFIG_FILE") or Path.home() / "clearml.conf")
    return file.is_file() or "CLEARML_API_ACCESS_KEY" in os.environ
