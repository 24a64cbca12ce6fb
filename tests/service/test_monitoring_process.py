"""A real service that logs, is traced and is stopped."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import h11
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from flood_seg.inference.models import bundled_model
from tests.service.running import Running, running_service

KEY = "nobody_may_read_this"
TRACE = "0af7651916cd43dd8448eb211c80319c"
Received = Queue[tuple[str, ExportTraceServiceRequest]]


@pytest.fixture
def collector() -> Iterator[tuple[str, Received]]:
    """A receiver of OTLP over HTTP: its address, and what it has received."""
    received: Received = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.put((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", received
        http.shutdown()


def test_traces_log_and_drain(tmp_path: Path, collector: tuple[str, Received]) -> None:
    address, received = collector
    words = ("serve.log=json", "serve.drain=60")
    with running_service(tmp_path / "run", *words, OTEL_EXPORTER_OTLP_ENDPOINT=address) as service:
        with httpx.Client(base_url=service.url) as client:
            traced = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-ID": "mine"}
            assert client.get("/models/default", headers=traced).status_code == 200
            assert client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).status_code == 401
            service.process.terminate()
            end = time.monotonic() + 10
            # It still answers, but is not ready, so that a load balancer goes elsewhere.
            while (ready := client.get("/health/ready")).status_code == 200:
                assert time.monotonic() < end
            assert (ready.status_code, ready.headers["retry-after"]) == (503, "2")
            assert httpx.get(f"{service.url}/health/live").status_code == 200  # by a new connection
        assert service.stop() == 0  # by a second signal, which does not wait for the end of the drain

    lines = [json.loads(line) for line in service.output.splitlines()]
    assert lines[0]["message"].startswith(f"Model default: {bundled_model()}")
    asked = {line["path"]: line for line in lines if "path" in line}
    assert (asked["/models/default"]["trace_id"], asked["/models/default"]["request_id"]) == (TRACE, "mine")
    assert asked["/metrics"]["status"] == 401
    assert KEY not in service.output

    path, export = received.get(timeout=10)
    assert path == "/v1/traces"
    (resource,) = export.resource_spans
    assert {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"] == "flood-seg"
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    (root,) = [span for span in spans if span.name == "GET /models/{name}"]
    attributes = {one.key: one.value for one in root.attributes}
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, "b7ad6b7169203331")
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["http.route"].string_value == "/models/{name}"
    assert not any("metrics" in span.name or "health" in span.name for span in spans)  # asked every few seconds
    assert KEY not in str(export)


def test_without_a_collector_nothing_that_traces_is_imported(tmp_path: Path) -> None:
    code = """
import sys
from fastapi.testclient import TestClient
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import ServeConfig
from flood_seg.service.app import create_app
from flood_seg.service.models import Models
from flood_seg.service.state import Service
config = defaults(ServeConfig)
with TestClient(create_app(Service(config, Models.load(config, None))), base_url="http://127.0.0.1") as client:
    assert client.get("/health/ready").status_code == 200
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter"))))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_a_request_in_flight_is_finished(server: Running) -> None:
    body = json.dumps({"key": "x" * 50}).encode()
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", "127.0.0.1"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    address = urlsplit(server.url)
    assert address.port
    with socket.create_connection(("127.0.0.1", address.port), timeout=30) as wire:
        wire.sendall(connection.send(h11.Request(method="POST", target="/session", headers=headers)) or b"")
        wire.sendall(connection.send(h11.Data(data=body[:10])) or b"")
        time.sleep(0.3)
        server.process.terminate()
        time.sleep(0.5)
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url)
        assert server.process.poll() is None
        wire.sendall(connection.send(h11.Data(data=body[10:])) or b"")
        wire.sendall(connection.send(h11.EndOfMessage()) or b"")
        answer = b""
        while part := wire.recv(65536):
            answer += part
    assert re.match(rb"HTTP/1.1 401 ", answer)
    assert b"the API key is unknown" in answer
    assert server.process.wait(30) == 0
