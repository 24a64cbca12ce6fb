"""Addresses are fetched from a real HTTPS server; whatever it answers, no other is asked and nothing half is kept."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from flood_seg.object_store import ObjectFolder
from flood_seg.service.problems import Problem
from flood_seg.service.security import fetch as fetching
from flood_seg.service.security.fetch import fetch, may_be_asked
from tests.servers import s3_server

CONTENT = b"II*\0" + bytes(range(256)) * 9000


class Handler(BaseHTTPRequestHandler):
    """Answers as the path says; `server.asked` has the paths."""

    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name = self.path.partition("?")[0].rpartition("/")[2]
        to = {"to-closed.tif": "/closed/a.tif", "to-metadata.tif": "https://169.254.169.254/open/a.tif",
              "to-http.tif": f"http{self.server.url[5:]}/open/a.tif", "to-file.tif": "file:///etc/passwd",
              "round.tif": "round.tif", "to-a.tif": "../open/a.tif?signature=1",
              "to-dots.tif": "/open/%2e%2e/closed/a.tif",
              }.get(name)  # fmt: skip
        if to:
            self.send_response(302)
            self.send_header("Location", to)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif name == "missing.tif":
            self.send_error(404)
        else:
            self.send_response(200)
            length = len(CONTENT) + 10 if name in ("short.tif", "silent.tif") else len(CONTENT)
            if name != "endless.tif":
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(CONTENT)
            if name == "silent.tif":
                self.server.released.wait(20)
            self.close_connection = True

    def log_message(self, *words: object) -> None:
        pass


class Site(ThreadingHTTPServer):
    """A web server with a certificate for localhost."""

    daemon_threads = True

    def __init__(self, authority: trustme.CA) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url, self.asked, self.released = f"https://localhost:{self.server_port}", list[str](), threading.Event()

    def handle_error(self, *words: object) -> None:
        pass  # clients that hang up


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def site(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = Site(authority)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def get(site: Site, path: str, target: Path, most: int = 10_000_000) -> None:
    fetch(f"{site.url}{path}", target, [f"{site.url}/open/"], most)


@pytest.mark.parametrize("path", ["/open/a.tif", "/open/to-a.tif", "/open/endless.tif"])
def test_the_content_of_an_address_is_written(site: Site, tmp_path: Path, path: str) -> None:
    get(site, path, tmp_path / "scene.tif")
    assert (tmp_path / "scene.tif").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["to-closed", "to-metadata", "to-http", "to-file", "to-dots"])
def test_no_redirect_leaves_the_sources(site: Site, tmp_path: Path, name: str) -> None:
    with pytest.raises(Problem) as caught:
        get(site, f"/open/{name}.tif", tmp_path / "scene.tif")
    assert caught.value.status in (403, 422)
    assert site.asked == [f"/open/{name}.tif"]
    assert not list(tmp_path.glob("*scene*"))


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [("missing", 422, "answers 404"), ("round", 422, "redirects more than 5 times"), ("short", 422,
     "IncompleteRead|too early"),
     ("silent", 413, "larger than"), ("endless", 413, "larger than"), ("a", 413, "larger than")],
)  # fmt: skip
def test_what_a_server_does_wrong_is_told_and_leaves_nothing(
    site: Site, tmp_path: Path, name: str, status: int, words: str
) -> None:
    with pytest.raises(Problem, match=words) as caught:
        get(site, f"/open/{name}.tif?token=SECRET", tmp_path / "scene.tif", 10**7 if status == 422 else 1000)
    assert caught.value.status == status
    assert "SECRET" not in caught.value.detail
    assert not list(tmp_path.glob("*scene*"))


def test_a_silent_server_is_given_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SILENCE_SECONDS", 0.3)
    with pytest.raises(Problem, match=r"cannot be fetched|timed out|too early"):
        fetch(f"{site.url}/open/silent.tif", tmp_path / "scene.tif", [f"{site.url}/open/"], 10**7)


def test_a_certificate_of_another_name_is_refused(site: Site, tmp_path: Path) -> None:
    address = site.url.replace("localhost", "127.0.0.1")
    with pytest.raises(Problem, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"{address}/open/a.tif", tmp_path / "scene.tif", [f"{address}/open/"], 10**7)


@pytest.mark.parametrize(
    ("found", "host", "may"),
    [
        ("93.184.216.34", "maps.example.org", True), ("10.1.2.3", "maps.intranet", True), ("127.0.0.1",
        "maps.example.org", False),
        ("127.0.0.1", "localhost", True), ("127.0.0.1", "127.0.0.1", True), ("169.254.169.254",
        "maps.example.org", False),
        ("::1", "maps.example.org", False), ("::ffff:127.0.0.1", "maps.example.org", False), ("0.0.0.0", "x", False),
        ("fe80::1%eth0", "x", False), ("224.0.0.1", "x", False), ("2606:2800:220:1::1", "maps.example.org", True),
        ("::ffff:169.254.169.254", "x", False), ("169.254.169.254", "169.254.169.254", True),
    ],
)  # fmt: skip
def test_names_that_mean_this_machine_or_its_link_are_not_asked(found: str, host: str, *, may: bool) -> None:
    assert may_be_asked(found, host) is may


def test_an_object_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with s3_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        boto3.client("s3", endpoint_url=server.url).create_bucket(Bucket="floods")
        ObjectFolder("s3://floods/open").write("a.tif", CONTENT)
        fetch("s3://floods/open/a.tif", tmp_path / "scene.tif", ["s3://floods/open/"], 10**7)
        assert (tmp_path / "scene.tif").read_bytes() == CONTENT
        with pytest.raises(Problem, match="larger than"):
            fetch("s3://floods/open/a.tif", tmp_path / "other.tif", ["s3://floods/open/"], 1000)
        assert not (tmp_path / "other.tif").exists()
