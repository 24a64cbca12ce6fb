"""Experiment trackers: where a run's parameters, metrics and files are kept to be compared with other runs'."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import flood_seg.torchvision_compat  # noqa: F401 - before lightning
from flood_seg.console import warn
from flood_seg.errors import TrackingError
from flood_seg.imaging.write import atomic_path

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger, MLFlowLogger

PROBE_SECONDS = 5.0
RUN_ID_FILE = "mlflow_run_id.txt"


@dataclass(frozen=True)
class RunInfo:
    """What a tracker is told of a run before it starts."""

    name: str
    folder: Path
    params: dict[str, Any]
    git_commit: str | None


class Tracker(Protocol):
    """Keeps a run's metrics (through Lightning's logger) and files.

    Attributes:
        logger: what Lightning logs each epoch's metrics to, or None.
        description: where the run is found, for the summary; may be empty.
    """

    logger: Logger | None
    description: str

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Keeps files, by the name of their folder in the tracker."""

    def close(self) -> None:
        """Ends the run."""


class NoTracker:
    """Keeps nothing; the run's folder has it all."""

    logger: Logger | None = None
    description = ""

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class CsvTracker(NoTracker):
    """Writes Lightning's own metrics.csv into the run's folder."""

    def __init__(self, run: RunInfo) -> None:
        from pytorch_lightning.loggers import CSVLogger

        logger = CSVLogger(run.folder, name="", version="csv")
        logger.log_hyperparams(run.params)
        self.logger, self.description = logger, str(Path(logger.log_dir) / "metrics.csv")


class MlflowTracker:
    """Keeps the run in MLflow; one that fails in the middle does not take the training with it."""

    def __init__(self, logger: MLFlowLogger, description: str) -> None:
        self.logger: MLFlowLogger | None = logger
        self.description = description
        self._client, self._run_id = logger.experiment, str(logger.run_id)

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Copies files into the run's artifacts."""
        try:
            for folder, paths in files.items():
                for path in paths:
                    self._client.log_artifact(self._run_id, str(path), folder)
        except Exception as error:  # the store may raise anything; the files lie in the run's folder all the same
            warn(f"MLflow did not take the run's files ({_first_line(error)}); they lie in the run's folder")

    def close(self) -> None:
        """Marks the run as finished."""
        try:
            self._client.set_terminated(self._run_id)
        except Exception as error:
            warn(f"MLflow could not mark the run as finished ({_first_line(error)})")


def open_csv(run: RunInfo) -> CsvTracker:
    """Opens `logger=csv`."""
    return CsvTracker(run)


def open_mlflow(run: RunInfo, tracking_uri: str, experiment_name: str) -> MlflowTracker:
    """Opens `logger=mlflow`; a resumed run goes on in the MLflow run that its folder names.

    Args:
        run: what to log at the start.
        tracking_uri: `sqlite:///FILE` for the embedded store, or the address of a server.
        experiment_name: is made where it is missing.

    Raises:
        TrackingError: the server does not answer within seconds, or the store cannot be opened.
    """
    if tracking_uri.startswith(("http://", "https://")):
        _probe(tracking_uri)
        # MLflow's own defaults retry for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    for name in ("alembic", "mlflow", "pytorch_lightning.loggers.mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return _start(run, tracking_uri, experiment_name)
    except Exception as error:  # SQLAlchemy's, MLflow's and the operating system's errors alike
        raise TrackingError(
            f"logger.tracking_uri={tracking_uri}: MLflow cannot open it ({_first_line(error)}); "
            "give sqlite:///mlflow.db, a server's address, or logger=csv"
        ) from error


def _start(run: RunInfo, tracking_uri: str, experiment_name: str) -> MlflowTracker:
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

    tags = {MLFLOW_GIT_COMMIT: run.git_commit} if run.git_commit else {}
    id_file = run.folder / RUN_ID_FILE
    known = id_file.read_text().strip() if id_file.is_file() else None
    logger = _safe_logger_class()(
        experiment_name=experiment_name, run_name=run.name, tracking_uri=tracking_uri, tags=tags, run_id=known
    )
    if known is None:
        logger.log_hyperparams(run.params)
        with atomic_path(id_file) as temporary:
            temporary.write_text(f"{logger.run_id}\n")
    return MlflowTracker(logger, f"MLflow {tracking_uri}, experiment {experiment_name}, run {run.name}")


def _safe_logger_class() -> type[MLFlowLogger]:
    from pytorch_lightning.loggers import MLFlowLogger

    class SafeMlflowLogger(MLFlowLogger):
        """Warns once where the store stops answering, instead of ending hours of training."""

        lost = False

        def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
            if self.lost:
                return
            try:
                super().log_metrics(metrics, step)
            except Exception as error:
                self.lost = True
                warn(f"MLflow stopped answering ({_first_line(error)}); metrics go on in history.csv alone")

        def finalize(self, status: str = "success") -> None:
            """Does nothing: the run ends after its files were kept."""

    return SafeMlflowLogger


def _probe(uri: str) -> None:
    import httpx

    try:
        httpx.get(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TrackingError(
            f"logger.tracking_uri={uri}: no MLflow server answers there ({_first_line(error)}); start one with "
            "'mlflow server --port 8080', or use logger.tracking_uri=sqlite:///mlflow.db or logger=csv"
        ) from error


def git_commit() -> str | None:
    """Returns the commit of the working directory, None outside a repository or without git."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).split("\n")[0]
