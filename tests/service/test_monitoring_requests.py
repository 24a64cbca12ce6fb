"""What is observed of requests: identifiers, metrics, log lines, and the answer to a bug."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi.testclient import TestClient
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from flood_seg.console import say, warn
from flood_seg.service.monitoring.logs import logging_as
from flood_seg.service.monitoring.metrics import Metrics
from flood_seg.service.monitoring.requests import ObservedRequests

SECRET = "fs_key_that_nobody_may_read"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(metrics: Metrics, tmp_path: Path) -> Iterator[TestClient]:
    """A client of an application that has an endpoint of each kind."""
    app = FastAPI()
    (tmp_path / "page.js").write_text("1")
    app.mount("/static", StaticFiles(directory=tmp_path))

    @app.get("/jobs/{job}")
    def job(job: str) -> str:
        say(f"reading {job}")
        return job

    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("a count of zero")

    @app.get("/stream")
    async def stream(fail: bool = False) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"abc"
            if fail:
                raise ZeroDivisionError("in the middle")
            yield b"de"

        return StreamingResponse(parts())

    app.add_middleware(ObservedRequests, metrics=metrics)
    with TestClient(app) as client:
        yield client


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def samples(metrics: Metrics, name: str) -> list[Sample]:
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return [sample for family in families for sample in family.samples if sample.name == name]


def test_requests_are_counted_by_the_template_of_their_route(client: TestClient, metrics: Metrics) -> None:
    for path in ("/jobs/1", "/jobs/2", "/static/page.js", "/static/other.js", "/no/1", "/no/2", "/openapi.json"):
        client.get(path)
    client.request("BREW", "/jobs/1")
    client.post("/jobs/1")
    counted = {
        (one.labels["route"], one.labels["method"], one.labels["status"]): one.value
        for one in samples(metrics, "flood_seg_request_seconds_count")
    }
    assert counted == {
        ("/jobs/{job}", "GET", "200"): 2, ("/static/{path}", "GET", "200"): 1, ("/static/{path}", "GET", "404"): 1,
        ("unknown", "GET", "404"): 2, ("/openapi.json", "GET", "200"): 1, ("/jobs/{job}", "other", "405"): 1,
        ("/jobs/{job}", "POST", "405"): 1,
    }  # fmt: skip
    assert [one.value for one in samples(metrics, "flood_seg_requests_in_flight")] == [0]


@pytest.mark.parametrize("given", ["", "two words", "a" * 65, 'x"} 1\n', "id;drop", "ключ"])
def test_an_identifier_that_could_forge_a_line_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/jobs/1", headers={"X-Request-ID": given.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_the_callers_identifier_is_in_the_answer_and_each_line(
    client: TestClient, capfd: pytest.CaptureFixture[str]
) -> None:
    with logging_as("json"):
        answer = client.get("/jobs/7", headers={"X-Request-ID": "trace-7.a_b"})
    assert answer.headers["x-request-id"] == "trace-7.a_b"
    during, after = lines(capfd)
    assert (during["message"], during["request_id"]) == ("reading 7", "trace-7.a_b")  # in a thread of the endpoint
    assert after["request_id"] == "trace-7.a_b"
    assert {key: after[key] for key in ("level", "method", "path", "route", "status", "bytes")} == {
        "level": "info", "method": "GET", "path": "/jobs/7", "route": "/jobs/{job}", "status": 200, "bytes": 3,
    }  # fmt: skip
    assert 0 < float(str(after["seconds"])) < 60
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(after["time"]))


def test_a_bug_is_a_problem_without_its_traceback_which_the_log_has(
    client: TestClient, metrics: Metrics, capfd: pytest.CaptureFixture[str]
) -> None:
    with logging_as("json"):
        answer = client.get("/bug")
    identifier = answer.headers["x-request-id"]
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["request_id"] == identifier
    assert "zero" not in answer.text and ".py" not in answer.text
    fault, request = lines(capfd)
    assert (fault["level"], fault["request_id"], request["status"]) == ("error", identifier, 500)
    assert "ZeroDivisionError: a count of zero" in str(fault["exception"])
    assert [one.labels["status"] for one in samples(metrics, "flood_seg_request_seconds_count")] == ["500"]


def test_a_body_streams_through_and_is_measured(client: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    with logging_as("json"), client.stream("GET", "/stream") as answer:
        assert b"".join(answer.iter_bytes()) == b"abcde"
    (line,) = lines(capfd)
    assert line["bytes"] == 5
    # The server cuts the connection: no other answer is possible any more.
    with logging_as("json"), pytest.raises(ZeroDivisionError):
        client.get("/stream", params={"fail": "true"})
    (line,) = lines(capfd)
    assert (line["bytes"], line["status"]) == (3, 200)


def test_no_line_has_a_key_a_cookie_or_a_query(client: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"flood_seg_session={SECRET}"}
    with logging_as("json"):
        for path in ("/jobs/1", "/bug", "/no", "/stream"):
            client.get(path, headers=headers, params={"token": SECRET})
    written = capfd.readouterr()
    assert written.err.count("\n") == 6
    assert SECRET not in written.err + written.out


def test_lines_of_the_console_and_of_libraries_are_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    with logging_as("json"):
        say("Model flood: loaded", "ready")
        warn('0.jpg: odd "values"\n')
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("uvicorn.error").info("Started server process")
    assert [(line["level"], line["logger"], line["message"]) for line in lines(capfd)] == [
        ("info", "flood_seg.service", "Model flood: loaded"),
        ("info", "flood_seg.service", "ready"),
        ("warning", "flood_seg.service", '0.jpg: odd "values"\n'),
        ("warning", "uvicorn.error", "Invalid HTTP request received."),
    ]


def test_text_is_a_line_for_people(client: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    with logging_as("text"):
        client.get("/jobs/1%0A12:00:00 GET /forged", headers={"X-Request-ID": "seven"})
        client.get("/bug", headers={"X-Request-ID": "eight"})
    client.get("/jobs/1")  # logging has ended
    first, second, *traceback, last = capfd.readouterr().err.splitlines()
    assert re.fullmatch(r"[\d:]{8} GET /jobs/1\\n12:00:00 GET /forged 404 [\d.]+ s, \d+ bytes \[seven\]", first)
    assert re.fullmatch(r"[\d:]{8} error: a bug while answering GET /bug \[eight\]", second)
    assert traceback[-1] == "ZeroDivisionError: a count of zero"
    assert re.fullmatch(r"[\d:]{8} GET /bug 500 [\d.]+ s, \d+ bytes \[eight\]", last)
