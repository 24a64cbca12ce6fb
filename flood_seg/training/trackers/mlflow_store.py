"""MLflow: an embedded store in a database file, or a server."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import warn
from flood_seg.errors import TrackingError
from flood_seg.training.summary import shorten
from flood_seg.training.trackers.contract import brief, keep_id, known_id, without_password

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from mlflow import MlflowClient

    from flood_seg.training.trackers.contract import RunInfo

PROBE_SECONDS = 5.0
RETRY_SECONDS = 300.0  # a store that hangs takes half a minute a try
# Unless the user has set them.
MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # its own defaults retry for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else it tells of its tables; importing it undoes a level set before
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
BATCH = 100  # parameters in a request, as many as MLflow takes
LONGEST = 6000  # characters of a parameter


class MlflowTracker:
    """Keeps the run in MLflow, and such that a store that stops answering does not end hours of training.

    It warns once, keeps what could not be sent, and tries again every five minutes and at the end.
    """

    name = "MLflow"

    def __init__(self, client: MlflowClient, run_id: str, description: str, worst: int) -> None:
        self.run_id, self.description, self.worst = run_id, description, worst
        self._client = client
        self._unsent: list[tuple[dict[str, float], int]] = []
        self._warned, self._next_try = False, 0.0

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Sends the metrics of an epoch, and those that could not be sent before."""
        self._unsent.append((dict(metrics), epoch))
        if time.monotonic() < self._next_try:
            return
        try:
            self.send()
        except Exception as error:  # the store may raise anything
            self._next_try = time.monotonic() + RETRY_SECONDS
            if not self._warned:
                warn(f"MLflow stopped answering ({brief(error)}); training goes on, the metrics are in history.csv")
            self._warned = True

    def send(self) -> None:
        """Sends what was not sent yet; raises whatever the store raises."""
        from mlflow.entities import Metric

        while self._unsent:
            metrics, epoch = self._unsent[0]
            now = int(time.time() * 1000)
            # A class's name may hold what MLflow's names may not.
            named = {re.sub(r"[^\w\-./ :]", "_", name): float(value) for name, value in metrics.items()}
            self._client.log_batch(self.run_id, [Metric(name, value, now, epoch) for name, value in named.items()])
            self._unsent.pop(0)

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Keeps a picture, where the metrics reach the store."""
        if not self._warned:
            self._client.log_image(self.run_id, image, key=name, step=epoch)

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Copies files into the run's artifacts."""
        try:
            for folder, paths in files.items():
                for path in paths:
                    self._client.log_artifact(self.run_id, str(path), folder)
        except Exception as error:  # the store may raise anything; the files lie in the run's folder all the same
            warn(f"MLflow did not take the run's files ({brief(error)}); they lie in the run's folder")

    def close(self, *, failed: bool) -> None:
        """Hands over metrics that the store missed and marks the run as finished or failed."""
        status = "FAILED" if failed else "FINISHED"
        try:
            self.send()
            self._client.set_terminated(self.run_id, status)
        except Exception as error:
            warn(f"MLflow could not mark the run as {status.lower()} ({brief(error)})")


def prepare(tracking_uri: str, experiment_name: str) -> None:
    """Makes the store's tables and the experiment, which several runs that start at once would make all together.

    Raises:
        TrackingError: as `open_mlflow`.
    """
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    _probe(tracking_uri)
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        _experiment(MlflowClient(tracking_uri), experiment_name)
    except Exception as error:  # as below
        raise _cannot_open(tracking_uri, error) from error


def open_mlflow(run: RunInfo, tracking_uri: str, experiment_name: str, worst: int = 0) -> MlflowTracker:
    """Opens `logger=mlflow`; a resumed run goes on in the MLflow run that its folder names.

    Args:
        run: what to log at the start.
        tracking_uri: `sqlite:///FILE` for the embedded store, or the address of a server.
        experiment_name: is made where it is missing.
        worst: validation samples that are drawn in each epoch.

    Raises:
        TrackingError: the server does not answer within seconds, or the store cannot be opened.
    """
    prepare(tracking_uri, experiment_name)
    try:
        return _start(run, tracking_uri, experiment_name, worst)
    except Exception as error:  # SQLAlchemy's, MLflow's and the operating system's errors alike
        raise _cannot_open(tracking_uri, error) from error


def _start(run: RunInfo, tracking_uri: str, experiment_name: str, worst: int) -> MlflowTracker:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    run_id = _continued(client, known_id(run, "mlflow")) or _new(client, run, experiment_name)
    where = without_password(tracking_uri)
    files = str(client.get_run(run_id).info.artifact_uri)
    files = str(shorten(Path(files))) if Path(files).is_absolute() else files
    description = f"MLflow {where}, experiment {experiment_name}, run {run.name}, files in {files}"
    return MlflowTracker(client, run_id, description, worst)


def _new(client: MlflowClient, run: RunInfo, experiment_name: str) -> str:
    from mlflow.entities import Param
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

    tags = {MLFLOW_GIT_COMMIT: run.git_commit} if run.git_commit else {}
    run_id = str(client.create_run(_experiment(client, experiment_name), tags=tags, run_name=run.name).info.run_id)
    params = [Param(key, without_password(str(value))[:LONGEST]) for key, value in run.params.items()]
    for start in range(0, len(params), BATCH):
        client.log_batch(run_id, params=params[start : start + BATCH])
    keep_id(run, "mlflow", run_id)
    return run_id


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(name)
    try:
        return str(known.experiment_id if known else client.create_experiment(name))
    except MlflowException:  # another run made it in the meantime
        known = client.get_experiment_by_name(name)
        if known is None:
            raise
        return str(known.experiment_id)


def _continued(client: MlflowClient, run_id: str | None) -> str | None:
    """Returns the id with its run set going again; None where the store does not know it (any more)."""
    from mlflow.exceptions import MlflowException

    if run_id is None:
        return None
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
            f"logger.mlflow.tracking_uri={without_password(uri)}: no MLflow server answers there ({brief(error)}); "
            "start one with 'mlflow server --port 8080', or use logger.mlflow.tracking_uri=sqlite:///mlflow.db or "
            "logger=csv"
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
        f"logger.mlflow.tracking_uri={without_password(uri)}: MLflow cannot open it ({brief(error)}); "
        "give sqlite:///mlflow.db, a server's address, or logger=csv"
    )
