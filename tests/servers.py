"""Servers on loopback: S3 by moto, and a web server with range requests that counts what it sends."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def s3_server() -> Iterator[Any]:
    """Yields moto's server, with `url`."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        server.stop()


class RangeServer(ThreadingHTTPServer):
    """Serves the files of a folder.

    Attributes:
        sent: bytes of the files' content, by the file's name.
        url: of the folder.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _RangeHandler)
        self.folder, self.sent = folder, dict[str, int]()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _RangeHandler(BaseHTTPRequestHandler):
    server: RangeServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        file = self.server.folder / self.path.partition("?")[0].lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        size = len(content)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found:
            first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
            content = content[first : last + 1]
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Type", "application/geo+json" if file.suffix in (".json", "") else "image/tiff")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{file.stat().st_mtime_ns}-{size}"')
        self.end_headers()
        if self.command == "GET":
            self.server.sent[file.name] = self.server.sent.get(file.name, 0) + len(content)
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def range_server(folder: Path) -> Iterator[RangeServer]:
    """Yields a server of a folder's files."""
    with RangeServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
