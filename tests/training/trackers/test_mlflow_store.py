import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from flood_seg.errors import TrackingError
from flood_seg.training.trackers.contract import RunInfo, git_commit
from flood_seg.training.trackers.mlflow_store import open_mlflow


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
        open_mlflow(run, f"http://127.0.0.1:{free_port()}", "test")
    assert time.monotonic() - started < 10 and "\n" not in str(error.value)


def test_a_server_that_never_answers_is_an_error_within_seconds(run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        with pytest.raises(TrackingError, match="no MLflow server answers there"):
            open_mlflow(run, f"http://127.0.0.1:{server.getsockname()[1]}", "test")
        assert time.monotonic() - started < 10


def test_a_store_that_cannot_be_opened_is_named(run, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(TrackingError, match="MLflow cannot open it") as error:
        open_mlflow(run, f"sqlite:///{tmp_path}/mlflow.db", "test")
    assert "\n" not in str(error.value)


def test_a_resumed_run_goes_on_in_the_same_mlflow_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    first = open_mlflow(run, uri, "test")
    again = open_mlflow(run, uri, "test")
    assert first.run_id == again.run_id


def test_a_store_that_is_lost_in_the_middle_does_not_end_the_training(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tracker = open_mlflow(run, f"sqlite:///{tmp_path}/mlflow.db", "test")

    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("gone")

    whole = tracker._client.log_batch
    monkeypatch.setattr(tracker._client, "log_batch", broken)
    for epoch in range(3):
        tracker.log_metrics({"x": 1.0 + epoch}, epoch)
    assert capsys.readouterr().err.count("MLflow stopped answering (gone)") == 1
    monkeypatch.setattr(tracker._client, "log_batch", whole)
    tracker.close(failed=False)
    kept = tracker._client.get_metric_history(tracker.run_id, "x")
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
        tracker = open_mlflow(run, f"http://127.0.0.1:{port}", "test")
        tracker.log_metrics({"val_iou": 0.5}, 0)
        (tmp_path / "file.txt").write_text("x")
        tracker.log_artifacts({"plots": [tmp_path / "file.txt"]})
        tracker.close(failed=False)
        from mlflow import MlflowClient

        client = MlflowClient(f"http://127.0.0.1:{port}")
        kept = client.get_run(tracker.run_id)
        assert kept.data.metrics["val_iou"] == 0.5 and kept.data.params["a.b"] == "1"
        assert [item.path for item in client.list_artifacts(kept.info.run_id, "plots")] == ["plots/file.txt"]
    finally:
        server.terminate()
        server.wait(20)
