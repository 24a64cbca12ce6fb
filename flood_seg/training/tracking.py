"""Experiment trackers: where a run's parameters, metrics and files are kept to be compared with other runs'."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import subprocess
import textwrap
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

from pytorch_lightning.loggers import MLFlowLogger

from flood_seg.console import warn
from flood_seg.errors import TrackingError
from flood_seg.imaging.write import atomic_path
from flood_seg.training.summary import shorten

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pytorch_lightning.loggers import Logger

PROBE_SECONDS = 5.0
RETRY_SECONDS = 300.0  # a store that hangs takes half a minute a try
# Unless the user has set them.
MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # its own defaults retry for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else it tells of its tables; importing it undoes a level set before
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
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
    """Writes Lightning's own metrics.csv into the run's folder; a resumed run writes a further one (`csv-1`, ...).

    Lightning would delete the metrics of the epochs before.
    """

    def __init__(self, run: RunInfo) -> None:
        from pytorch_lightning.loggers import CSVLogger

        earlier = len(list(run.folder.glob("csv*/")))
        version = f"csv-{earlier}" if earlier else "csv"
        logger = CSVLogger(run.folder, name="", version=version, flush_logs_every_n_steps=1)
        logger.log_hyperparams(run.params)
        self.logger, self.description = logger, str(Path(logger.log_dir) / "metrics.csv")


class SafeMlflowLogger(MLFlowLogger):
    """Lightning's, by epochs, and such that a store that stops answering does not end hours of training.

    It warns once, keeps what could not be sent, and tries again every five minutes and at the end.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unsent: list[tuple[dict[str, float], int | None]] = []
        self._warned, self._next_try = False, 0.0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Sends the metrics of an epoch, with the epoch as their step, and those that could not be sent before."""
        self._unsent.append((dict(metrics), int(metrics.get("epoch", step or 0))))
        if time.monotonic() < self._next_try:
            return
        try:
            self.send()
        except Exception as error:  # the store may raise anything
            self._next_try = time.monotonic() + RETRY_SECONDS
            if not self._warned:
                warn(f"MLflow stopped answering ({_brief(error)}); training goes on, the metrics are in history.csv")
            self._warned = True

    def send(self) -> None:
        """Sends what was not sent yet; raises whatever the store raises."""
        while self._unsent:
            super().log_metrics(*self._unsent[0])
            self._unsent.pop(0)

    def finalize(self, status: str = "success") -> None:
        """Marks a run that broke off as failed; one that succeeded ends after its files were kept."""
        if status == "success":
            return
        try:
            super().finalize(status)
        except Exception as error:  # the reason why it broke off is to be seen, not this
            warn(f"MLflow could not mark the run as {status} ({_brief(error)})")


class MlflowTracker:
    """Keeps the run in MLflow; one that fails in the middle does not take the training with it."""

    def __init__(self, logger: SafeMlflowLogger, description: str) -> None:
        self.logger: SafeMlflowLogger = logger
        self.description = description
        self._client, self._run_id = logger.experiment, str(logger.run_id)

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Copies files into the run's artifacts."""
        try:
            for folder, paths in files.items():
                for path in paths:
                    self._client.log_artifact(self._run_id, str(path), folder)
        except Exception as error:  # the store may raise anything; the files lie in the run's folder all the same
            warn(f"MLflow did not take the run's files ({_brief(error)}); they lie in the run's folder")

    def close(self) -> None:
        """Hands over metrics that the store missed and marks the run as finished."""
        try:
            self.logger.send()
            self._client.set_terminated(self._run_id)
        except Exception as error:
            warn(f"MLflow could not mark the run as finished ({_brief(error)})")


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
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    _probe(tracking_uri)
    try:
        return _start(run, tracking_uri, experiment_name)
    except Exception as error:  # SQLAlchemy's, MLflow's and the operating system's errors alike
        raise _cannot_open(tracking_uri, error) from error


def _start(run: RunInfo, tracking_uri: str, experiment_name: str) -> MlflowTracker:
    from mlflow import MlflowClient
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.loggers.mlflow").setLevel(logging.ERROR)  # warns of a new experiment
    client = MlflowClient(tracking_uri)
    known = _known_run(client, run.folder / RUN_ID_FILE)
    tags = {MLFLOW_GIT_COMMIT: run.git_commit} if run.git_commit else {}
    logger = SafeMlflowLogger(experiment_name, run.name, tracking_uri, tags=tags, run_id=known)
    run_id = str(logger.run_id)
    if known is None:
        logger.log_hyperparams({key: _without_password(str(value)) for key, value in run.params.items()})
        with atomic_path(run.folder / RUN_ID_FILE) as temporary:
            temporary.write_text(f"{run_id}\n", encoding="utf-8")
    where = _without_password(tracking_uri)
    files = str(client.get_run(run_id).info.artifact_uri)
    files = str(shorten(Path(files))) if Path(files).is_absolute() else files
    return MlflowTracker(logger, f"MLflow {where}, experiment {experiment_name}, run {run.name}, files in {files}")


def _known_run(client: MlflowClient, id_file: Path) -> str | None:
    """Returns the id in the file, with that run set going again; None where the store does not know it (any more)."""
    from mlflow.exceptions import MlflowException

    if not id_file.is_file():
        return None
    run_id = id_file.read_text(encoding="utf-8").strip()
    try:
        if client.get_run(run_id).info.lifecycle_stage == "deleted":
            return None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    client.update_run(run_id, status="RUNNING")
    return run_id


def _probe(uri: str) -> None:
    """Fails within seconds where MLflow itself would try again and again for minutes."""
    if uri.startswith(("http://", "https://")):
        _probe_server(uri)
    elif uri.startswith("sqlite:///"):
        _probe_file(uri)


def _probe_server(uri: str) -> None:
    import httpx

    try:
        httpx.get(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TrackingError(
            f"logger.tracking_uri={_without_password(uri)}: no MLflow server answers there ({_brief(error)}); start "
            "one with 'mlflow server --port 8080', or use logger.tracking_uri=sqlite:///mlflow.db or logger=csv"
        ) from error


def _probe_file(uri: str) -> None:
    """Opens the SQLite file for writing, and closes it."""
    file = Path(uri.removeprefix("sqlite:///").partition("?")[0] or ":memory:")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=PROBE_SECONDS)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
    except (OSError, sqlite3.Error) as error:
        raise _cannot_open(uri, error) from error


def _cannot_open(uri: str, error: Exception) -> TrackingError:
    return TrackingError(
        f"logger.tracking_uri={_without_password(uri)}: MLflow cannot open it ({_brief(error)}); "
        "give sqlite:///mlflow.db, a server's address, or logger=csv"
    )


def _without_password(text: str) -> str:
    """Returns an address without the user and password that may stand in it."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def git_commit() -> str | None:
    """Returns the commit of the working directory, None outside a repository or without git."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _brief(error: Exception) -> str:
    """Returns the first line of an error, cut where it goes on and on."""
    lines = _without_password(str(error)).strip().splitlines()
    return textwrap.shorten(lines[0], 160, placeholder="…") if lines else type(error).__name__
