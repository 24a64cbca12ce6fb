import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from flood_seg.errors import TrackingError
from flood_seg.tracking import composite
from flood_seg.tracking import mlflow as module
from flood_seg.tracking.composite import Trackers
from flood_seg.tracking.contract import RunInfo, git_commit
from flood_seg.tracking.mlflow import MlflowTracker


@pytest.fixture
def store(empty_store, tmp_path, monkeypatch) -> str:
    """The address of a copy of it, in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def run(tmp_path: Path) -> RunInfo:
    return RunInfo("test", tmp_path, {"a.b": 1}, None)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_a_server_that_is_not_there_is_an_error_within_seconds(run):
    started = time.monotonic()
    with pytest.raises(TrackingError, match="mlflow server --port 8080.*logger=csv") as error:
        MlflowTracker(run, f"http://127.0.0.1:{free_port()}", "test")
    assert time.monotonic() - started < 10 and "\n" not in str(error.value)


def test_a_server_that_never_answers_is_an_error_within_seconds(run, monkeypatch):
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        with pytest.raises(TrackingError, match="no MLflow server answers there"):
            MlflowTracker(run, f"http://127.0.0.1:{server.getsockname()[1]}", "test")
        assert time.monotonic() - started < 10


def damage(file: Path) -> None:
    """Leaves an SQLite database whose header is whole and whose tables are not."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.executemany("INSERT INTO alembic_version VALUES (?)", [("x" * 500,) for _ in range(50)])
        database.commit()
    file.write_bytes(file.read_bytes()[:100] + b"\xff" * 20_000)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.write_bytes(b"no database" * 100), "mlflow.db is damaged, or not an SQLite database"),
        (damage, "mlflow.db is damaged, or not an SQLite database"),
        (lambda file: file.mkdir(), "mlflow.db cannot be opened for writing"),
    ],
)
def test_a_store_that_cannot_be_opened_is_named_with_another_address(spoil, message, run, tmp_path):
    spoil(tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(TrackingError, match=message) as error:
        MlflowTracker(run, uri, "test")
    advice = str(error.value).rpartition("; ")[2]
    assert "\n" not in str(error.value) and "mlflow.db" not in advice
    assert f"set logger.mlflow.tracking_uri=sqlite:///{tmp_path}/mlflow-2.db or logger=csv" in advice


def test_a_store_that_another_process_holds_is_said_to_be_locked(run, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.1)
    (tmp_path / "mlflow-2.db").touch()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="mlflow.db is locked by another process .*wait until that") as error:
            MlflowTracker(run, f"sqlite:///{tmp_path}/mlflow.db", "test")
    assert f"tracking_uri=sqlite:///{tmp_path}/mlflow-3.db" in str(error.value)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        ("Detected out-of-date database schema (found version a, but expected b).", "older MLflow.*mlflow db upgrade"),
        ("Can't locate revision identified by 'abc'", "newer MLflow.*update MLflow"),
    ],
)
def test_a_store_of_another_version_of_mlflow_is_told_so(raised, message, run, store, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError(raised)

    monkeypatch.setattr(module, "_experiment", fail)
    with pytest.raises(TrackingError, match=message):
        MlflowTracker(run, store, "test")


def test_a_relative_address_is_of_the_folder_where_the_run_began(empty_store, tmp_path, monkeypatch):
    """MLflow keeps a store by its address: by a relative one the second run would have gone into the first's."""
    ids = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(empty_store, tmp_path / name / "mlflow.db")
        monkeypatch.chdir(tmp_path / name)
        tracker = MlflowTracker(RunInfo("test", tmp_path / name, {}, None), "sqlite:///mlflow.db", "test")
        monkeypatch.chdir(tmp_path)
        tracker.log_metrics({"x": 1.0}, 0)
        tracker.close(failed=False)
        ids[name] = tracker.run_id
    assert not (tmp_path / "mlflow.db").exists()
    for name, expected in ids.items():
        with closing(sqlite3.connect(tmp_path / name / "mlflow.db")) as database:
            assert database.execute("SELECT run_uuid, status FROM runs").fetchall() == [(expected, "FINISHED")]
            assert database.execute("SELECT key, value FROM metrics").fetchall() == [("x", 1.0)]


def test_a_picture_that_fails_is_named_once_and_the_next_ones_are_kept(run, store, monkeypatch, capsys):
    tracker = MlflowTracker(run, store, "test", worst=2)
    trackers = Trackers([tracker])
    whole, calls = tracker.client.log_image, []

    def sometimes(*given: object, **options: object) -> None:
        calls.append(options["key"])
        if len(calls) in (1, 3):
            raise OSError("no space left")
        whole(*given, **options)

    monkeypatch.setattr(tracker.client, "log_image", sometimes)
    for number in range(4):
        trackers.log_image(f"worst/{number}", np.full((8, 9, 3), number, np.uint8), 0)
    assert capsys.readouterr().err.count("\n") == 1
    trackers.close(failed=False)
    assert "MLflow lost 2 images of the run" in capsys.readouterr().err
    assert pictures(tracker) == {("1", "0"), ("3", "0")}


def pictures(tracker: MlflowTracker) -> set[tuple[str, str]]:
    """Numbers and steps of what lies in the store; its character for a slash is another from version to version."""
    paths = [item.path for item in tracker.client.list_artifacts(tracker.run_id, "images")]
    return {found.groups() for path in paths if (found := re.search(r"worst\W(\d)\Wstep\W(\d)", path))}


def test_pictures_are_kept_again_when_a_store_answers_again(run, store, monkeypatch, capsys):
    tracker = MlflowTracker(run, store, "test", worst=1)
    trackers = Trackers([tracker])
    monkeypatch.setattr(composite, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(composite, "SLOW_SECONDS", 0.0)  # as if it had hung
    picture = np.zeros((8, 9, 3), np.uint8)
    with monkeypatch.context() as patch:
        patch.setattr(tracker.client, "log_batch", lambda *_, **__: 1 / 0)
        trackers.log_metrics({"x": 1.0}, 0)
        trackers.log_image("worst/1", picture, 0)  # not tried: a store that hangs takes half a minute for each
    time.sleep(0.15)
    trackers.log_metrics({"x": 2.0}, 1)
    trackers.log_image("worst/1", picture, 1)
    trackers.close(failed=False)
    assert "MLflow lost 1 image of the run" in capsys.readouterr().err
    assert pictures(tracker) == {("1", "1")}


def test_a_file_that_fails_does_not_keep_the_others_back(run, store, tmp_path, capsys):
    tracker = MlflowTracker(run, store, "test")
    trackers = Trackers([tracker])
    (tmp_path / "there.png").touch()
    trackers.log_artifacts({"plots": [tmp_path / "gone.png", tmp_path / "there.png"]})
    assert "MLflow failed to record the file (" in capsys.readouterr().err
    assert [item.path for item in tracker.client.list_artifacts(tracker.run_id, "plots")] == ["plots/there.png"]


def test_a_resumed_run_goes_on_in_the_same_mlflow_run(run, store):
    first = MlflowTracker(run, store, "test")
    again = MlflowTracker(run, store, "test")
    assert first.run_id == again.run_id


def test_a_store_that_is_lost_in_the_middle_does_not_end_the_training(run, store, monkeypatch, capsys):
    tracker = MlflowTracker(run, store, "test")
    trackers = Trackers([tracker])

    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("gone")

    whole = tracker.client.log_batch
    monkeypatch.setattr(tracker.client, "log_batch", broken)
    for epoch in range(3):
        trackers.log_metrics({"x": 1.0 + epoch}, epoch)
    assert capsys.readouterr().err.count("MLflow failed to record the metrics (gone)") == 1
    monkeypatch.setattr(tracker.client, "log_batch", whole)
    trackers.close(failed=False)
    kept = tracker.client.get_metric_history(tracker.run_id, "x")
    assert [(metric.step, metric.value) for metric in kept] == [(0, 1.0), (1, 2.0), (2, 3.0)], "sent at the end"


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() is None


@pytest.mark.slow
def test_a_real_server_keeps_the_run(run, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        f"{tmp_path}/files",
    ]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.5)
        tracker = MlflowTracker(run, f"http://127.0.0.1:{port}", "test")
        trackers = Trackers([tracker])
        trackers.log_metrics({"val_iou": 0.5}, 0)
        (tmp_path / "file.txt").write_text("x")
        trackers.log_artifacts({"plots": [tmp_path / "file.txt"]})
        trackers.close(failed=False)
        from mlflow import MlflowClient

        client = MlflowClient(f"http://127.0.0.1:{port}")
        kept = client.get_run(tracker.run_id)
        assert kept.data.metrics["val_iou"] == 0.5 and kept.data.params["a.b"] == "1"
        assert [item.path for item in client.list_artifacts(kept.info.run_id, "plots")] == ["plots/file.txt"]
    finally:
        server.terminate()
        server.wait(20)
