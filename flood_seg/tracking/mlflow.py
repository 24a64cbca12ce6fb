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

from flood_seg.errors import TrackingError
from flood_seg.files import shorten
from flood_seg.tracking.contract import Tracker, brief, without_password

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from mlflow import MlflowClient

    from flood_seg.tracking.contract import RunInfo

PROBE_SECONDS = 5.0
# Unless the user has set them.
MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # its own defaults retry for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else it reports its tables; importing it resets a level set before
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
PARAMS_PER_REQUEST = 100  # MLflow accepts no more
MAX_PARAM_CHARACTERS = 6000


class MlflowTracker(Tracker):
    """Records a run in MLflow; a resumed run goes on in the MLflow run that its folder names.

    Not by Lightning's logger: it cuts parameters at 250 characters and removes letters beyond ASCII from the names of
    metrics, so that two classes may share a name.
    """

    name = "MLflow"
    stores_files = True

    def __init__(self, run: RunInfo, tracking_uri: str, experiment_name: str, worst: int = 0) -> None:
        """Starts or resumes a run.

        Raises:
            TrackingError: the server does not answer within seconds, or the store cannot be opened.
        """
        prepare(tracking_uri, experiment_name)
        from mlflow import MlflowClient

        self.worst, self.client = worst, MlflowClient(_absolute(tracking_uri))
        try:
            self.run_id = _resume(self.client, run) or _create(self.client, run, experiment_name)
            files = str(self.client.get_run(self.run_id).info.artifact_uri)
        except Exception as error:  # SQLAlchemy's, MLflow's and the operating system's errors alike
            raise _cannot_open(tracking_uri, error) from error
        files = str(shorten(Path(files))) if Path(files).is_absolute() else files
        store = without_password(tracking_uri)
        self.description = f"MLflow {store}, experiment {experiment_name}, run {run.name}, files in {files}"

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Sends the metrics of an epoch."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        # A class's name may contain what MLflow's names may not.
        named = {re.sub(r"[^\w\-./ :]", "_", name): float(value) for name, value in metrics.items()}
        self.client.log_batch(self.run_id, [Metric(name, value, now, epoch) for name, value in named.items()])

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Sends an image."""
        self.client.log_image(self.run_id, image, key=name, step=epoch)

    def log_file(self, folder: str, path: Path) -> None:
        """Copies a file into the run's artifacts."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def log_dataset(self, name: str, folder: Path) -> None:
        """Copies a folder into the run's artifacts."""
        self.client.log_artifacts(self.run_id, str(folder), name)

    def close(self, *, failed: bool) -> None:
        """Marks the run as finished or failed."""
        self.client.set_terminated(self.run_id, "FAILED" if failed else "FINISHED")


def prepare(tracking_uri: str, experiment_name: str) -> None:
    """Creates the store's tables and the experiment; a sweep does so once, before its runs start all together.

    Raises:
        TrackingError: as `MlflowTracker`.
    """
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    # Where MLflow itself would try again and again for minutes.
    if tracking_uri.startswith(("http://", "https://")):
        _probe_server(tracking_uri)
    elif tracking_uri.startswith("sqlite:///"):
        _probe_file(tracking_uri)
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        _experiment(MlflowClient(_absolute(tracking_uri)), experiment_name)
    except Exception as error:  # as below
        raise _cannot_open(tracking_uri, error) from error


def _create(client: MlflowClient, run: RunInfo, experiment_name: str) -> str:
    from mlflow.entities import Param
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

    tags = {MLFLOW_GIT_COMMIT: run.git_commit} if run.git_commit else {}
    run_id = str(client.create_run(_experiment(client, experiment_name), tags=tags, run_name=run.name).info.run_id)
    params = [Param(key, without_password(str(value))[:MAX_PARAM_CHARACTERS]) for key, value in run.params.items()]
    for start in range(0, len(params), PARAMS_PER_REQUEST):
        client.log_batch(run_id, params=params[start : start + PARAMS_PER_REQUEST])
    run.keep_id("mlflow", run_id)
    return run_id


def _resume(client: MlflowClient, run: RunInfo) -> str | None:
    """Returns the id of the MLflow run, set to running again; None where the store does not know it (any more)."""
    from mlflow.exceptions import MlflowException

    run_id = run.known_id("mlflow")
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


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(name)
    try:
        return str(known.experiment_id if known else client.create_experiment(name))
    except MlflowException:  # another run has created it meanwhile
        known = client.get_experiment_by_name(name)
        if known is None:
            raise
        return str(known.experiment_id)


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
    """Returns what is wrong with the file of a store, and what to do."""
    for pattern, problem, remedy in (
        ("locked", "is locked by another process", "wait until that ends"),
        ("not a database|malformed", "is damaged, or not an SQLite database", "move that file away"),
        ("out-of-date database schema", "was made by an older MLflow",
         f"keep a copy and run 'mlflow db upgrade {_absolute(uri)}'"),
        ("Can't locate revision", "was made by a newer MLflow", "update MLflow"),
        ("readonly|unable to open|Permission", "cannot be opened for writing",
         "check its path and permissions, and those of its folder"),
    ):  # fmt: skip
        if re.search(pattern, text):
            return f"{file} {problem}", remedy
    return f"MLflow cannot open {file}", "move that file away"


def _free_name(file: Path) -> Path:
    """Returns a name for another store beside the file."""
    names = (file.with_name(f"{file.stem}-{number}.db") for number in itertools.count(2))
    return next(name for name in names if not name.exists())
