"""No caller takes more than a share: of requests, of bytes, of time, of connections."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from flood_seg.service.security import connections, rate
from flood_seg.service.security.keys import KeyFile
from flood_seg.service.security.rate import Buckets, cost_of, network_of
from tests.service.in_thread import make_app, served

URL = "http://localhost"


def test_a_bucket_refills_and_holds_a_tenth() -> None:
    now = [0.0]
    buckets = Buckets(60, lambda: now[0])
    assert [buckets.take("a") for _ in range(6)] == [0] * 6
    assert buckets.take("a") == pytest.approx(1)
    assert buckets.take("b") == 0
    now[0] = 1.0
    assert (buckets.take("a"), buckets.take("a")) == (0, pytest.approx(1))
    now[0] = 1000.0
    assert sum(buckets.take("a") == 0 for _ in range(20)) == 6


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 600))
def test_no_caller_exceeds_the_rate(pauses: list[float], per_minute: int) -> None:
    now = [0.0]
    buckets = Buckets(per_minute, lambda: now[0])
    taken = 0
    for pause in pauses:
        now[0] += pause
        taken += buckets.take("a") == 0
    assert taken <= max(1, per_minute / 10) + now[0] * per_minute / 60 + 1e-6


def test_callers_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "MOST_CALLERS", 3)
    buckets = Buckets(60, lambda: 0.0)
    for caller in "abacad":
        buckets.take(caller)
    assert len(buckets) == 3
    assert sum(buckets.take("a") == 0 for _ in range(9)) == 3  # it called all the time, and is remembered


def test_a_caller_over_the_rate_is_told_when_to_come_again(tmp_path: Path) -> None:
    app = make_app(tmp_path, "serve.limits.rate=1", "serve.security.require_keys='true'")
    keys = KeyFile(tmp_path / "keys.json")
    client = TestClient(app, base_url=URL)
    alice, bob = ({"Authorization": f"Bearer {keys.add(name, 'read')}"} for name in ("alice", "bob"))
    assert [client.get("/as/read", headers=alice).status_code for _ in range(2)] == [200, 429]
    answer = client.get("/as/read", headers=alice)
    assert 30 < int(answer.headers["retry-after"]) <= 60
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/as/read", headers=bob).status_code == 200
    # Whoever tries keys is one caller, by the address
    guesses = [client.get("/as/read", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(2)]
    assert guesses == [401, 429]
    assert {client.get("/health/live").status_code for _ in range(9)} == {200}


@pytest.mark.parametrize(
    ("path", "cost"),
    [("/", 0), ("/static/a.js", 0), ("/health/ready", 0), ("/docs", 0), ("/predict", 1), ("/jobs", 1), ("/static", 1),
     ("/jobs/x/files/a", 1), ("/jobs/x/tiles/mask/1/2/3.png", 0.1)],
)  # fmt: skip
def test_costs(path: str, cost: float) -> None:
    assert cost_of(path) == cost


@pytest.mark.parametrize(
    ("address", "network"),
    [("10.0.0.1", "10.0.0.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("::ffff:10.0.0.1", "10.0.0.1"), ("x", "")],
)
def test_addresses_of_one_customer_are_one_caller(address: str, network: str) -> None:
    assert network_of((address, 1)) == network
    assert network_of(None) == ""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A server with small limits."""
    small = (
        "serve.limits.timeout=0.5",
        "serve.limits.connections=4",
        "serve.limits.body_mb=0.5",
        "serve.limits.rate=0",
    )
    with served(make_app(tmp_path, *small)) as found:
        yield found


@contextmanager
def connected(place: tuple[str, int], first: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(place, timeout=10) as connection:
        connection.sendall(first)
        yield connection


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def status_and_problem(answer: bytes) -> tuple[int, dict[str, object]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)


HEAD = b"POST /size HTTP/1.1\r\nHost: localhost\r\n"


def test_a_large_body_is_refused_by_its_length_or_when_it_gets_too_large(place: tuple[str, int]) -> None:
    url = "http://{}:{}/size".format(*place)
    assert httpx.post(url, content=b"x" * 60_000).json() == 60_000
    for body in (b"x" * 100_000, b"x" * 5_000_000):
        refused = httpx.post(url, content=body)
        assert (refused.status_code, refused.json()["status"]) == (413, 413)
        chunked = httpx.post(url, content=iter([body[start : start + 4096] for start in range(0, len(body), 4096)]))
        assert (chunked.status_code, chunked.json()["status"]) == (413, 413)
    with connected(place, HEAD + b"Connection: close\r\nContent-Length: 99999999999999\r\n\r\n") as connection:
        assert status_and_problem(read_all(connection))[0] == 413


def test_a_body_that_does_not_arrive_ends_the_request(place: tuple[str, int]) -> None:
    with connected(place, HEAD + b"Content-Length: 100\r\n\r\n") as connection:
        started = time.monotonic()
        for _ in range(20):  # a byte now and then does not help
            try:
                connection.sendall(b"x")
            except OSError:
                break
            time.sleep(0.05)
        status, problem = status_and_problem(read_all(connection))
        assert (status, problem["detail"]) == (408, "the body did not arrive within 0.5 s")
        assert time.monotonic() - started < 5


def test_a_header_that_does_not_end_closes_the_connection(
    place: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.4)
    whole = HEAD + b"Content-Length: 0\r\n\r\n"
    for first in (b"", b"GET / HTTP/1.1\r\nHost: local", whole):
        with connected(place, first) as connection:
            started = time.monotonic()
            if first == whole:
                assert b"200 OK" in connection.recv(65536)

            def drip(connection: socket.socket = connection) -> None:
                try:
                    for letter in b"GET /models HTTP/1.1":
                        connection.sendall(bytes([letter]))
                        time.sleep(0.1)
                except OSError:
                    pass

            writer = threading.Thread(target=drip)
            writer.start()
            try:
                rest = read_all(connection)
            except ConnectionResetError:
                rest = b""
            writer.join()
            assert rest in (b"", b"0")  # the end of the first answer
            assert time.monotonic() - started < 4


def test_what_is_no_http_or_has_too_large_a_header_is_a_problem(place: tuple[str, int]) -> None:
    for text in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000):
        with connected(place, text) as connection:
            assert status_and_problem(read_all(connection))[0] == 400


def test_further_connections_are_refused(place: tuple[str, int]) -> None:
    with connected(place) as one, connected(place), connected(place), connected(place):
        one.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
        assert b"200 OK" in one.recv(65536)  # all four are there
        with connected(place) as fifth:
            answer = read_all(fifth)
            assert status_and_problem(answer)[0] == 503
            assert b"retry-after" in answer.lower()
    end = time.monotonic() + 5
    while httpx.get("http://{}:{}/models".format(*place)).status_code != 200:
        assert time.monotonic() < end


def test_a_receiver_that_reads_nothing_is_given_up(tmp_path: Path) -> None:
    app = make_app(tmp_path, "serve.limits.timeout=0.5")

    @app.get("/large")
    async def large() -> StreamingResponse:
        return StreamingResponse(b"x" * 1_000_000 for _ in range(1000))

    with served(app) as place, connected(place, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        time.sleep(1.5)
        assert len(read_all(connection)) < 500_000_000


@pytest.mark.parametrize(("proxies", "seen"), [("[]", ["127.0.0.1", "http"]), ("[127.0.0.1]", ["203.0.113.9", "https"]),
                         ("[10.0.0.0/8]", ["127.0.0.1", "http"])])  # fmt: skip
def test_who_a_proxy_speaks_for_is_believed_of_listed_ones_alone(tmp_path: Path, proxies: str, seen: list[str]) -> None:
    app = make_app(tmp_path, f"serve.security.proxies={proxies}", "serve.security.require_keys='false'")
    forwarded = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "X-Forwarded-Proto": "https"}
    with served(app) as place:
        assert httpx.get("http://{}:{}/address".format(*place), headers=forwarded).json() == seen
