"""MLflow: an embedded store in a database file, or a server."""

from __future__ import annotations

import itertools
import logging
import os
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import counted, warn
from flood_seg.errors import TrackingError
from flood_seg.files import shorten
from flood_seg.tracking.contract import brief, keep_id, known_id, without_password

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from mlflow import MlflowClient

    from flood_seg.tracking.contract import RunInfo

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

    It warns once, keeps the metrics that could not be sent, and tries again every five minutes and at the end. A
    picture that fails is lost, and the next one is tried.
    """

    name = "MLflow"

    def __init__(self, client: MlflowClient, run_id: str, description: str, worst: int) -> None:
        self.run_id, self.description, self.worst = run_id, description, worst
        self._client = client
        self._unsent: list[tuple[dict[str, float], int]] = []
        self._warned, self._next_try, self._lost = False, 0.0, 0

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
        """Keeps a picture; not while a store that hangs is left alone."""
        started = time.monotonic()
        if started < self._next_try:
            self._lost += 1
            return
        try:
            self._client.log_image(self.run_id, image, key=name, step=epoch)
        except Exception as error:  # the store may raise anything
            self._lost += 1
            if self._lost == 1:
                warn(f"MLflow did not take the picture {name} ({brief(error)}); training and later pictures go on")
            if time.monotonic() - started > PROBE_SECONDS:
                self._next_try = time.monotonic() + RETRY_SECONDS

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Copies files into the run's artifacts; one that fails does not keep the others back."""
        failed, first, hangs = 0, "", False
        for folder, path in ((folder, path) for folder, paths in files.items() for path in paths):
            started = time.monotonic()
            try:
                if hangs:
                    raise TimeoutError
                self._client.log_artifact(self.run_id, str(path), folder)
            except Exception as error:  # the store may raise anything
                failed, first = failed + 1, first or brief(error)
                hangs = hangs or time.monotonic() - started > PROBE_SECONDS
        if failed:
            warn(f"MLflow did not take {counted(failed, 'file')} of the run ({first}); they lie in the run's folder")

    def close(self, *, failed: bool) -> None:
        """Hands over metrics that the store missed and marks the run as finished or failed."""
        status = "FAILED" if failed else "FINISHED"
        if self._lost:
            warn(f"MLflow: {counted(self._lost, 'picture')} of the run could not be kept")
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
        _experiment(MlflowClient(_absolute(tracking_uri)), experiment_name)
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

    client = MlflowClient(_absolute(tracking_uri))
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


def _file_of(uri: str) -> Path | None:
    """Returns the file of an address `sqlite:///FILE?...`; None of another one, and of a database in memory."""
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(name) if uri.startswith("sqlite:///") and name not in ("", ":memory:") else None


def _absolute(uri: str) -> str:
    """Returns the address with its file's full path: MLflow keeps a store by its address for the whole process.

    By a relative name a run after a change of the working directory would go into the store of the run before.
    """
    file = _file_of(uri)
    if file is None:
        return uri
    query = uri.partition("?")[2]
    return f"sqlite:///{file.absolute()}" + (f"?{query}" if query else "")


def _probe_file(uri: str) -> None:
    """Opens the SQLite file for writing, and closes it."""
    file = _file_of(uri) or Path(":memory:")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=PROBE_SECONDS)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
    except (OSError, sqlite3.Error) as error:
        raise _cannot_open(uri, error) from error


def _cannot_open(uri: str, error: Exception) -> TrackingError:
    file, key = _file_of(uri), "logger.mlflow.tracking_uri"
    if file is None:
        return TrackingError(
            f"{key}={without_password(uri)}: MLflow cannot open it ({brief(error)}); give sqlite:///FILE.db, the "
            "address of a server, or logger=csv"
        )
    problem, remedy = _diagnose(str(error), file.absolute(), uri)
    said = brief(error).removeprefix("(").strip()
    return TrackingError(
        f"{key}={uri}: {problem} ({said}); {remedy}, or set {key}=sqlite:///{_free_name(file)} or logger=csv"
    )


def _diagnose(text: str, file: Path, uri: str) -> tuple[str, str]:
    """Returns what is wrong with the file of a store, and what mends it."""
    if "locked" in text:
        return f"{file} is locked by another process", "wait until that ends"
    if "not a database" in text or "malformed" in text:
        return f"{file} is damaged, or not an SQLite database", "move that file away"
    if "out-of-date database schema" in text:
        return f"{file} was made by an older MLflow", f"keep a copy and run 'mlflow db upgrade {_absolute(uri)}'"
    if "Can't locate revision" in text:
        return f"{file} was made by a newer MLflow", "update MLflow"
    if "readonly" in text or "unable to open" in text or "Permission" in text:
        return f"{file} cannot be opened for writing", "check its path and permissions, and those of its folder"
    return f"MLflow cannot open {file}", "move that file away"


def _free_name(file: Path) -> Path:
    """Returns a name for another store beside the file."""
    names = (file.with_name(f"{file.stem}-{number}.db") for number in itertools.count(2))
    return next(name for name in names if not name.exists())
