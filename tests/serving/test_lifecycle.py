"""Waiting for a server, with a stand-in for it: a process that sleeps, and answers that are given here."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flood_seg.errors import ServerError
from flood_seg.serving.lifecycle import Server, wait_until_ready
from tests.serving.conftest import STARTED, embedded_config


@pytest.fixture
def answering(tmp_path):
    """A server whose port is ready, and answers by the name `mine`."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            if self.path == "/v2":
                self.wfile.write(json.dumps({"name": "mine"}).encode())

        def log_message(self, *_):
            pass

    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    STARTED.append(process)
    with HTTPServer(("127.0.0.1", 0), Answers) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        config = embedded_config(tmp_path, http_port=http.server_port)
        yield lambda identity: Server(config, "embedded", process, tmp_path / "log", identity, tmp_path / "record")
        http.shutdown()


def test_a_server_is_ready_when_it_answers_by_its_own_name(answering):
    wait_until_ready(answering("mine"))


def test_another_server_at_the_port_is_not_taken_for_ours(answering):
    with pytest.raises(ServerError, match="another Triton server answers there; give --http-port"):
        wait_until_ready(answering("another"))
