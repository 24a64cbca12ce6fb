"""What a browser may do with the service, and what pages of other sites may do through it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.service.in_thread import make_app, served

URL = "http://localhost:8000"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A client of a service on loopback, without keys."""
    return TestClient(make_app(tmp_path_factory.mktemp("work"), "serve.limits.rate=0"), base_url=URL)


@pytest.mark.parametrize("path", ["/models", "/missing", "/health/live", "/docs", "/openapi.json", "/as/read"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    answer = client.get(path)
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert not {name for name in headers if name.startswith("access-control")}
    assert "server" not in headers
    assert "strict-transport-security" not in headers


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/as/read", 405), ("/session", 422)])
def test_errors_are_problems(client: TestClient, path: str, status: int) -> None:
    answer = client.post(path, json={})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= answer.json().keys()


def test_a_wrong_method_is_told_the_right_ones(client: TestClient) -> None:
    assert client.put("/jobs").headers["allow"] == "GET, POST"
    assert client.put("/models/x").headers["allow"] == "GET"


def test_https_stays_https(client: TestClient) -> None:
    answer = TestClient(client.app, base_url="https://localhost").get("/models")
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def policy(client: TestClient, path: str) -> dict[str, str]:
    text = client.get(path).headers["content-security-policy"]
    return {name: rest for name, _, rest in (part.strip().partition(" ") for part in text.split(";"))}


def test_scripts_come_from_the_service_alone(client: TestClient, tmp_path: Path) -> None:
    page = policy(client, "/")
    assert (page["default-src"], page["script-src"], page["connect-src"]) == ("'self'", "'self'", "'self'")
    assert page["img-src"] == "'self' data: blob:"
    docs = policy(client, "/docs")
    assert (docs["script-src"], docs["connect-src"]) == ("'self' 'unsafe-inline'", "'self'")
    results = policy(client, "/jobs/x/files/map.html")
    assert results["default-src"] == "'none'"
    assert "allow-same-origin" not in results["sandbox"]
    mapped = make_app(tmp_path, "serve.base_map='https://{s}.tiles.example.org:8443/{z}/{x}/{y}.png'")
    assert policy(TestClient(mapped, base_url=URL), "/")["img-src"].endswith(" https://*.tiles.example.org:8443")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:9", "[::1]:8000", "LOCALHOST", "localhost."]
)
def test_names_of_this_machine_are_served(client: TestClient, host: str) -> None:
    assert client.get("/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "localhost@evil",
        "[::1",
        "a b",
    ],
)
def test_other_names_are_not(client: TestClient, host: str) -> None:
    answer = client.get("/models", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


def test_listed_names_are_served_and_addresses_where_others_connect(tmp_path: Path) -> None:
    open_to_all = (
        "serve.host=0.0.0.0",
        "serve.security.require_keys='false'",
        "serve.security.hosts=[maps.example.org]",
    )
    client = TestClient(make_app(tmp_path, *open_to_all), base_url=URL)
    for host, status in (("maps.example.org", 200), ("10.0.0.1:8000", 200), ("evil.example", 421), ("localhost", 200)):
        assert client.get("/models", headers={"Host": host}).status_code == status
    keyed = TestClient(make_app(tmp_path, "serve.host=0.0.0.0"), base_url=URL)
    assert keyed.get("/health/live", headers={"Host": "evil.example"}).status_code == 200  # has no key, nor the cookie


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": URL, "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_pages_of_other_sites_change_nothing(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.post("/size", content=b"abc", headers=headers).status_code == status
    assert client.get("/models", headers=headers).status_code == 200


def test_no_redirect_leaves_the_host(client: TestClient) -> None:
    for path in ("//evil.example/..", "/models/", "/models//", "/%2f%2fevil.example", "/docs/"):
        answer = client.get(path, follow_redirects=False)
        assert answer.headers.get("location", URL).startswith(URL)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "text"), [("/docs", "/predict"), ("/redoc", "Returns who has signed in")])
def test_the_documentation_of_the_api_works_under_its_policy(browser, tmp_path: Path, path: str, text: str) -> None:
    with served(make_app(tmp_path)) as place:
        page = browser.new_page()
        asked: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on(
            "console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None
        )
        page.goto("http://{}:{}{}".format(*place, path))
        page.get_by_text(text).first.wait_for()
        page.close()
    # Redoc would load its logo from elsewhere, which the policy does not admit
    assert [
        error for error in errors if "cdn.redoc.ly/redoc/logo" not in error or "has been blocked" not in error
    ] == []
    asked = [url for url in asked if "cdn.redoc.ly/redoc/logo" not in url]
    assert {url.split("/")[2] for url in asked if not url.startswith(("data:", "blob:"))} == {"{}:{}".format(*place)}
