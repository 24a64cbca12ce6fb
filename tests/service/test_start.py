"""How the service starts and ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from flood_seg.inference.models import bundled_model
from tests.inference.conftest import red_spec, write_model
from tests.service.running import Running, running_service


def test_connections_are_accepted_once_it_says_so(server: Running, client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}
    assert f"Model default: {bundled_model()}" in server.output


def test_sigterm_ends_it_without_an_error(tmp_path: Path) -> None:
    model = write_model(tmp_path / "red.onnx", red_spec())
    with running_service(tmp_path / "run", "--model", str(model)) as service:
        assert httpx.get(f"{service.url}/models/default").json()["spec"]["bands"] == ["red", "green", "blue"]
        assert service.stop(signal.SIGTERM) == 0, service.output
    assert "Traceback" not in service.output


def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "flood_seg", "serve", "--port", port]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert f":{port}: cannot be used (Address already in use); choose another --port" in line


def test_errors_are_problem_details(client: httpx.Client) -> None:
    answer = client.get("/models/defualt")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json() == {
        "type": "about:blank", "title": "Not Found", "status": 404,
        "detail": "model defualt: is not served (did you mean 'default'?); served are default",
        "request_id": answer.headers["x-request-id"],
    }  # fmt: skip
    assert "paths" in json.loads(client.get("/openapi.json").content)
