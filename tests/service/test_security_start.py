"""A service on a network, as a process: it starts with keys and a certificate alone, and speaks HTTPS."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from flood_seg.config.defaults import defaults
from flood_seg.config.schema.service import SecurityOptions
from flood_seg.errors import ConfigError
from flood_seg.service.security.keys import KeyFile
from flood_seg.service.security.start import check_certificate
from tests.service.running import running_service


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def pair(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 with its chain, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("127.0.0.1")
    for part in issued.cert_chain_pems:
        part.write_to_path(str(folder / "chain.pem"), append=True)
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return folder / "chain.pem", folder / "key.pem"


def test_a_service_on_a_network_has_keys_and_https(
    tmp_path: Path, authority: trustme.CA, pair: tuple[Path, Path]
) -> None:
    keys = KeyFile(tmp_path / "work" / "keys.json")
    alice, root = keys.add("alice", "read"), keys.add("root", "admin")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    tls = (f"serve.security.tls_certificate={pair[0]}", f"serve.security.tls_key={pair[1]}")
    with running_service(tmp_path, "--host", "0.0.0.0", *tls) as service:
        assert service.url.startswith("https://0.0.0.0:")
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(base_url=url, verify=context) as client:
            assert client.get("/health/ready").status_code == 200
            assert client.get("/models").status_code == 401
            for path in ("/predict", "/jobs", "/metrics"):
                assert client.request("POST" if path != "/metrics" else "GET", path).status_code == 401, path
            answer = client.get("/models", headers={"Authorization": f"Bearer {alice}"})
            assert answer.status_code == 200
            assert "max-age" in answer.headers["strict-transport-security"]
            assert client.post("/jobs", headers={"Authorization": f"Bearer {alice}"}).status_code == 403
            vrt = b'<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>'
            disguised = client.post(
                "/jobs", files={"scene": ("scene.tif", vrt)}, headers={"Authorization": f"Bearer {root}"}
            )
            assert disguised.status_code == 415
            assert str(tmp_path) not in disguised.text
            signed = client.post("/session", json={"key": alice})
            assert "Secure" in signed.headers["set-cookie"]
            assert client.get("/models").status_code == 200
            keys.remove("alice")  # in another process, while the service runs
            assert client.get("/models").status_code == 401
            assert client.get("/models", headers={"Authorization": f"Bearer {root}"}).status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http"))
        assert root not in service.output
        assert "unencrypted" not in service.output


def test_without_a_key_it_does_not_start_on_a_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flood_seg", "serve", "--host", "0.0.0.0", "--port", "0", "serve.work_dir=work"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "make one by flood-seg serve --add-key NAME" in line
    assert done.stdout == ""
    assert not (tmp_path / "work").exists()


def test_a_certificate_and_a_key_that_belong_together_are_taken(pair: tuple[Path, Path]) -> None:
    check_certificate(options(*pair))


def options(certificate: Path, key: Path) -> SecurityOptions:
    return defaults(SecurityOptions, tls_certificate=str(certificate), tls_key=str(key))


def test_what_is_wrong_with_a_certificate_is_one_line(
    tmp_path: Path, authority: trustme.CA, pair: tuple[Path, Path]
) -> None:
    other = tmp_path / "other.pem"
    authority.issue_cert("localhost").private_key_pem.write_to_path(str(other))
    locked = tmp_path / "locked.pem"
    command = ["openssl", "pkcs8", "-topk8", "-in", str(pair[1]), "-out", str(locked), "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True)
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for certificate, key, message in (
        (pair[0], other, "is not the key of"),
        (tmp_path / "missing.pem", pair[1], r"tls_certificate: .*missing.pem: cannot be read \(No such file"),
        (pair[0], tmp_path, r"tls_key: .*: cannot be read \(Is a directory"),
        (text, pair[1], "are not a pair in PEM format without a password"),
        (pair[0], text, "are not a pair in PEM format without a password"),
        (pair[0], locked, "are not a pair in PEM format without a password"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            check_certificate(options(certificate, key))
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="requires both"):
        defaults(SecurityOptions, tls_certificate=str(pair[0]))


@pytest.mark.parametrize(
    "wrong",
    [{"proxies": ["proxy.example.org"]}, {"proxies": ["10.0.0.1/8"]}, {"hosts": ["https://maps.org"]}, {"hosts": ["*"]},
     {"sources": ["https://host"]}, {"sources": ["http://host/"]}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigError):
        defaults(SecurityOptions, **wrong)
