"""Keys, roles and sessions: who may call what."""

from __future__ import annotations

import json
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from flood_seg.errors import ConfigError, UsageError
from flood_seg.service.security import access as accesses
from flood_seg.service.security.access import is_loopback
from flood_seg.service.security.keys import KeyFile
from flood_seg.verbs.serve import serve
from tests.service.in_thread import make_app

URL = "http://localhost"


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """A client of a service that requires keys."""
    return TestClient(make_app(tmp_path, "serve.security.require_keys='true'"), base_url=URL)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_the_file_has_the_hash_alone_and_only_its_owner_reads_it(keys: KeyFile) -> None:
    key = keys.add("alice", "admin")
    assert len(key) > 43  # 256 bits in base64
    assert key not in keys.path.read_text()
    assert json.loads(keys.path.read_bytes())["keys"]["alice"]["sha256"] == sha256(key.encode()).hexdigest()
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    keys.add("bob", "read")
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert keys.find(key) == ("alice", keys.entries()["alice"])
    assert keys.find(key[:-1]) is None
    assert keys.find("") is None


def test_no_key_is_lost_when_several_are_added_at_once(keys: KeyFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: KeyFile(keys.path).add(f"caller {number}", "read"), range(24)))
    assert len(keys.entries()) == len(set(made)) == 24


@pytest.mark.parametrize("text", ["", "[]", '{"keys": {"a": {}}}', '{"keys": {"a": {"sha256": "00", "role": "read", '
                                  '"created": ""}}}', "\xff"])  # fmt: skip
def test_a_damaged_file_admits_nobody(keys: KeyFile, client: TestClient, text: str) -> None:
    key = keys.add("alice", "admin")
    assert client.get("/as/read", headers=bearer(key)).status_code == 200
    keys.path.write_text(text, encoding="latin-1")
    assert client.get("/as/read", headers=bearer(key)).status_code == 401
    with pytest.raises(ConfigError, match="is not a file of keys"):
        keys.entries()


@pytest.mark.parametrize(
    ("role", "may"),
    [("read", {"read"}), ("predict", {"read", "predict"}), ("admin", {"read", "predict", "admin"})],
)
def test_a_role_may_what_the_lower_ones_may(client: TestClient, keys: KeyFile, role: str, may: set[str]) -> None:
    key = keys.add("alice", role)  # type: ignore[arg-type]
    for asked in ("read", "predict", "admin"):
        answer = client.get(f"/as/{asked}", headers=bearer(key))
        assert answer.status_code == (200 if asked in may else 403)
        assert answer.json() == "alice" or answer.headers["content-type"] == "application/problem+json"


def test_without_a_key_the_answer_says_how_to_give_one(client: TestClient, keys: KeyFile) -> None:
    keys.add("alice", "admin")
    for headers in ({}, {"Authorization": "Basic YTpi"}, bearer(""), bearer("fseg_wrong"), bearer("x" * 5000)):
        answer = client.get("/as/read", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="flood-seg"')
        assert answer.json()["detail"].count("\n") == 0


def test_a_removed_key_and_its_session_are_refused_at_once(client: TestClient, keys: KeyFile) -> None:
    key = keys.add("alice", "predict")
    assert client.post("/session", json={"key": key}).json() == {"required": True, "name": "alice", "role": "predict"}
    assert client.get("/as/predict").json() == "alice"
    keys.remove("alice")
    assert client.get("/as/predict").status_code == 401
    assert client.get("/as/predict", headers=bearer(key)).status_code == 401
    again = keys.add("alice", "admin")  # of the same name, with another key
    assert client.get("/as/predict").status_code == 401
    assert client.get("/as/admin", headers=bearer(again)).json() == "alice"


def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(tmp_path: Path, keys: KeyFile) -> None:
    app = make_app(tmp_path, "serve.security.require_keys='true'")
    key = keys.add("Ärztin; 7", "read")
    for scheme in ("http", "https"):
        client = TestClient(app, base_url=f"{scheme}://localhost")
        assert client.get("/session").json() == {"required": True, "name": None, "role": None}
        assert client.post("/session", json={"key": "wrong"}).status_code == 401
        answer = client.post("/session", json={"key": key})
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Max-Age=43200", "Path=/"} <= set(cookie.split("; "))
        assert ("Secure" in cookie.split("; ")) == (scheme == "https")
        assert key not in cookie
        assert client.get("/session").json() == {"required": True, "name": "Ärztin; 7", "role": "read"}
        assert client.get("/as/read").json() == "Ärztin; 7"
        assert client.delete("/session").status_code == 204
        assert client.get("/as/read").status_code == 401


def test_a_session_cannot_be_made_or_prolonged(
    client: TestClient, keys: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.add("alice", "read")
    keys.add("root", "admin")
    client.post("/session", json={"key": key})
    name, until, signature = client.cookies["flood_seg_session"].split(".")
    root = "cm9vdA"
    forged = [f"{root}.{until}.{signature}", f"{name}.{int(until) + 1}.{signature}", f"{name}.{until}.",
              f"{name}.{until}", f"{name}.{until}.{signature[:-1]}~", f"{name}.{until}.ä", "..", "", "ä.1.1",
              f"{name}.9e99.{signature}"]  # fmt: skip
    for one in forged:
        client.cookies.clear()
        answer = client.get("/as/read", headers=[(b"cookie", f"flood_seg_session={one}".encode())])
        assert answer.status_code == 401, one
    genuine = {"Cookie": f"flood_seg_session={name}.{until}.{signature}"}
    assert client.get("/as/read", headers=genuine).status_code == 200
    monkeypatch.setattr(accesses.time, "time", lambda: int(until) + 1)
    assert client.get("/as/read", headers=genuine).status_code == 401


def test_two_processes_of_a_service_take_each_others_sessions(tmp_path: Path, keys: KeyFile) -> None:
    key = keys.add("alice", "read")
    one, two = (TestClient(make_app(tmp_path, "serve.security.require_keys='true'"), base_url=URL) for _ in range(2))
    one.post("/session", json={"key": key})
    two.cookies = one.cookies
    assert two.get("/as/read").json() == "alice"
    assert stat.S_IMODE((tmp_path / "session.secret").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("overrides", "admin"),
    [
        ((), 200),
        (("serve.security.require_keys='true'",), 401),
        (("serve.host=0.0.0.0",), 401),
        (("serve.host=0.0.0.0", "serve.security.require_keys='false'"), 403),
        # Others reach it through a proxy, or by a name
        (("serve.security.proxies=[127.0.0.1]",), 401),
        (("serve.security.hosts=[maps.example.org]",), 401),
        (("serve.security.hosts=[localhost]",), 200),
    ],
)
def test_keys_are_required_where_others_can_connect(tmp_path: Path, overrides: tuple[str, ...], admin: int) -> None:
    client = TestClient(make_app(tmp_path, *overrides), base_url=URL)
    assert client.get("/as/admin").status_code == admin
    assert client.get("/health/live").status_code == 200
    required = client.get("/session").json()["required"]
    assert required == (admin == 401)


OPEN = {"/", "/page/config", "/health/live", "/health/ready", "/session"}


def test_every_endpoint_asks_who_calls_but_the_open_ones(tmp_path: Path) -> None:
    app = make_app(tmp_path, "serve.security.require_keys='true'", "serve.limits.rate=0")
    client = TestClient(app, base_url=URL)
    asked = 0
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if path in OPEN or path in ("/size", "/address"):  # the last two are of the test
                continue
            assert operation.get("security"), (method, path)
            address = re.sub(r"{[^}]*}", "1", path)
            assert client.request(method, address).status_code == 401, (method, path)
            asked += 1
    assert asked >= 8


def test_an_unknown_key_is_refused_where_none_is_required(tmp_path: Path) -> None:
    client = TestClient(make_app(tmp_path), base_url=URL)
    assert client.get("/as/read", headers=bearer("wrong")).status_code == 401
    assert client.get("/as/read").json() == "anonymous"


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True),
                         ("LOCALHOST", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("maps", False),
                         ("localhost.example.org", False), ("", False)])  # fmt: skip
def test_loopback(host: str, *, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\nb", "a\x1b[31m"])
def test_names_of_keys_can_be_printed(keys: KeyFile, name: str) -> None:
    with pytest.raises(UsageError, match="give a name"):
        keys.add(name, "read")
    assert not keys.path.exists()


def test_keys_are_made_listed_and_removed_by_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = (f"serve.work_dir={tmp_path}",)
    serve(words, add_key="alice", role="read")
    out, err = capfd.readouterr()
    (key,) = out.split()  # the key alone, so that a script can take it
    file = KeyFile(tmp_path / "keys.json")
    assert file.find(key) is not None
    assert "is not shown again" in err
    serve(words, list_keys=True)
    listed = capfd.readouterr().out
    assert all(word in listed for word in ("alice", "read", file.entries()["alice"].created))
    assert key not in listed
    with pytest.raises(UsageError, match="did you mean 'alice'"):
        serve(words, remove_key="alise")
    serve(words, remove_key="alice")
    assert file.entries() == {}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"add_key": "a", "remove_key": "b"}, "--add-key and --remove-key: give one of them"),
        ({"role": "admin"}, "give --add-key NAME too"),
        ({"add_key": "a", "role": "owner"}, "--role owner: give one of read, predict, admin"),
    ],
)
def test_flags_that_do_not_fit_are_one_line(tmp_path: Path, flags: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        serve((f"serve.work_dir={tmp_path}",), **flags)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
