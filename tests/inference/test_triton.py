"""The client against servers that are none, or that fail: sockets in a thread, and what they send is written here."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
import pytest
import trustme

from flood_seg.cli.main import main
from flood_seg.errors import ConfigError, ModelError, ServerError, UsageError
from flood_seg.inference.backends.triton import TritonBackend, join_address, parse_address
from flood_seg.spec import METADATA_KEY
from tests.inference.conftest import red_spec

pytest.importorskip("tritonclient")


@contextmanager
def server(answer: Callable[[socket.socket, bytes], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Calls `answer(connection, head)` for each request; yields the port."""

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            wrapped = context.wrap_socket(connection, server_side=True) if context else connection
            while head := wrapped.recv(65536):
                answer(wrapped, head)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def response(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def config(**changes: object) -> bytes:
    """What a Triton server says of the model of `red_spec`."""
    tensors = {
        side: [{"name": name, "data_type": "TYPE_FP32", "dims": [channels, -1, -1]}]
        for side, name, channels in (("input", "input", 3), ("output", "output", 1))
    }
    spec = {METADATA_KEY: {"string_value": red_spec().to_json()}}
    return json.dumps({"name": "m", "max_batch_size": 8, "parameters": spec, **tensors, **changes}).encode()


def drip(connection: socket.socket, data: bytes) -> None:
    for position in range(len(data)):
        connection.sendall(data[position : position + 1])
        time.sleep(0.03)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_that_drips_bytes_is_given_up_after_the_timeout(protocol):
    """Each byte comes well within the timeout, all of them take 10 s."""
    settings, window = "000000040000000000", "000004080000000000" + "00000001"  # two frames of HTTP/2
    text = response(config())[:330] if protocol == "http" else bytes.fromhex(settings + window * 25)
    with server(lambda connection, _: drip(connection, text)) as port:
        started = time.monotonic()
        with pytest.raises(ServerError, match=r"no complete answer within 0.5 s; raise backend.timeout"):
            TritonBackend(f"127.0.0.1:{port}/m", protocol, timeout=0.5)
        assert time.monotonic() - started < 2


def test_a_server_that_drips_an_answer_of_logits_is_given_up_too():
    def answer(connection: socket.socket, head: bytes) -> None:
        if head.startswith(b"GET"):
            connection.sendall(response(config()))
        elif b"\r\n\r\n" in head:
            drip(connection, response(b"x" * 300))

    with server(answer) as port:
        backend = TritonBackend(f"127.0.0.1:{port}/m", timeout=0.5)
        started = time.monotonic()
        with pytest.raises(ServerError, match=r"no complete answer within 0.5 s"):
            backend.run(np.zeros((1, 3, 8, 8), np.float32))
        assert time.monotonic() - started < 2


def test_the_timeout_bounds_all_tries_together():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        started = time.monotonic()
        with pytest.raises(ServerError, match="no server answers there"):
            TritonBackend(f"127.0.0.1:{closed.getsockname()[1]}/m", timeout=0.5, retries=50, backoff=0.2)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (response(b"[]"), "not the configuration of a Triton model"),
        (response(b"{}"), "not the configuration of a Triton model"),
        (response(b"null"), "not the configuration of a Triton model"),
        (response(b"5"), "not the configuration of a Triton model"),
        (response(b'{"parameters": []}'), "not the configuration of a Triton model"),
        (response(config(input=[{}])), "not the configuration of a Triton model"),
        (response(config(input=[1])), "not the configuration of a Triton model"),
        (response(config(parameters=[])), "not the configuration of a Triton model"),
        (response(config(parameters={METADATA_KEY: {"string_value": 5}})), "not the configuration of a Triton model"),
        (response(b"<html><body>It works!</body></html>"), "see whether that is a Triton server's http port"),
        (response(b"<html>Not Found</html>", "404 Not Found"), "see whether that is a Triton server's http port"),
        (response(b"[]", "500 Oops"), "see whether that is a Triton server's http port"),
        (response(b'{"error": "who are you?"}', "401 Unauthorized"), "backend.token_env"),
        (response(config())[:-9], "see whether that is a Triton server's http port"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "see whether that is a Triton server's http port"),
    ],
)
def test_an_answer_that_is_no_models_configuration_is_a_line(answer, message):
    def send(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    with server(send) as port, pytest.raises(ServerError, match=message) as error:
        TritonBackend(f"127.0.0.1:{port}/m", timeout=5, retries=0)
    assert f"127.0.0.1:{port}/m" in str(error.value) and "\n" not in str(error.value)


def test_a_model_without_a_spec_is_told_from_a_server_of_another_kind():
    answer = response(config(parameters={}))
    with (
        server(lambda connection, _: connection.sendall(answer)) as port,
        pytest.raises(ModelError, match="carries no ModelSpec"),
    ):
        TritonBackend(f"127.0.0.1:{port}/m")


def logits(shape: list[int], name: str = "output", data: list[float] | None = None) -> bytes:
    values = data if data is not None else [0.0] * int(np.prod(shape))
    return json.dumps({"outputs": [{"name": name, "datatype": "FP32", "shape": shape, "data": values}]}).encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            logits([1, 2, 8, 8]),
            r"answers float32 \[1, 2, 8, 8\] where 'output' is to be float32 \[1, 1, height, width\]",
        ),
        (logits([2, 1, 8, 8]), r"answers float32 \[2, 1, 8, 8\]"),
        (logits([64]), r"answers float32 \[64\]"),
        (logits([1, 1, 8, 8], "other"), "answers no such tensor"),
        (logits([1, 1, 8, 8], data=[0.0]), "see whether"),
        (b"[]", "see whether"),
    ],
)
def test_logits_of_another_shape_are_refused(body, message):
    """Of two masks where one was asked for, or of two classes where there is one, the first would be taken."""

    def answer(connection: socket.socket, head: bytes) -> None:
        if head.startswith(b"GET"):
            connection.sendall(response(config()))
        elif head.startswith(b"POST"):
            connection.sendall(response(body))

    with server(answer) as port:
        backend = TritonBackend(f"127.0.0.1:{port}/m", timeout=5)
        with pytest.raises(ServerError, match=message):
            backend.run(np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.parametrize("protocol", ["https", "grpcs"])
def test_tls_where_none_is_spoken_is_told_so(protocol):
    plain = response(b"<html>plain text</html>", "400 Bad Request")
    with server(lambda connection, _: connection.sendall(plain)) as port:
        started = time.monotonic()
        with pytest.raises(ServerError, match=f"no TLS is spoken there; write {protocol[:-1]}://"):
            TritonBackend(f"{protocol}://127.0.0.1:{port}/m", timeout=5)
        assert time.monotonic() - started < 3  # not tried again


@pytest.mark.parametrize("protocol", ["https", "grpcs"])
def test_a_certificate_that_nobody_trusts_is_told_so(protocol):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2", "http/1.1"])
    trustme.CA().issue_cert("localhost").configure_cert(context)
    told = pytest.raises(ServerError, match=r"its certificate is not trusted .*backend.ca_file=")
    with server(lambda *_: None, context) as port, told as error:
        TritonBackend(f"{protocol}://localhost:{port}/m", timeout=5)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host/m", "http://host:8000/m"),
        ("grpc://host/m", "grpc://host:8001/m"),
        ("https://host:443/m/", "https://host:443/m"),
        ("grpcs://10.0.0.1/m", "grpcs://10.0.0.1:8001/m"),
        ("[::1]:9/m", "http://[::1]:9/m"),
    ],
)
def test_addresses(text, expected):
    assert str(parse_address(text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host:8000", "not the address of a model"),
        ("http://host", "not the address of a model"),
        ("a b/m", "not the address of a model"),
        ("host:x/m", "not the address of a model"),
        ("host:8000/m/n", "not the address of a model"),
        ("ftp://host/m", "the scheme 'ftp' is none of http, https, grpc, grpcs"),
        ("htps://host/m", "did you mean 'https'"),
        ("host:99999/m", "port 99999 is not between 1 and 65535"),
        ("grpc://host:0/m", "port 0 is not between 1 and 65535"),
        ("/m", "has no host"),
        (":8000/m", "has no host"),
        ("http:///m", "has no host"),
        ("http://:8000/m", "has no host"),
    ],
)
def test_what_is_no_address_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_address(text)
    with pytest.raises(ConfigError, match="did you mean 'grpc'"):
        parse_address("host/m", "grcp")


@pytest.mark.parametrize(
    ("url", "model", "expected"),
    [
        ("host", None, "host/flood_area_segmentation"),
        ("host:8001/", "m", "host:8001/m"),
        ("https://host:443", None, "https://host:443/flood_area_segmentation"),
        ("host:8000/m", None, "host:8000/m"),
        ("grpc://host/m/", "m", "grpc://host/m"),
        ("", None, "/flood_area_segmentation"),
        ("http://", None, "http:///flood_area_segmentation"),
    ],
)
def test_the_url_may_name_the_model(url, model, expected):
    assert join_address(url, model) == expected
    with pytest.raises(UsageError, match="names the model 'one', and --model-name 'two'"):
        join_address("host/one", "two")


def index(*names: str) -> bytes:
    return response(json.dumps([{"name": name, "version": "1", "state": "READY"} for name in names]).encode())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:{port}/floods", "no model 'floods'; it has flood, trees (did you mean 'flood'?)"),
        ("127.0.0.1:99999", "port 99999 is not between"),
        (":8000", "has no host"),
        ("http://", "has no host"),
        ("ftp://127.0.0.1:{port}", "the scheme 'ftp'"),
        ("https://127.0.0.1:{port}", "no TLS is spoken there"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_url_in_a_line(url, message, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))

    def answer(connection: socket.socket, head: bytes) -> None:
        unknown = response(b'{"error": "Request for unknown model: \'x\' is not found"}', "404 Not Found")
        connection.sendall(index("flood", "trees") if b"/repository/index" in head else unknown)

    with server(answer) as port, pytest.raises(SystemExit) as exit_code:
        main(["triton-client", "--image", str(tmp_path / "a.png"), "--triton-url", url.format(port=port)])
    assert exit_code.value.code == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1 and "Traceback" not in errors


def test_a_server_that_fails_in_the_middle_of_a_folder_is_a_line_and_keeps_what_is_done(tmp_path, capsys):
    """The third photo's answer never comes whole; the masks before it stay, none is half-written."""
    (tmp_path / "photos").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), np.full((64, 64, 3), 90, np.uint8))
    seen = []

    def answer(connection: socket.socket, head: bytes) -> None:
        if head.startswith(b"GET"):
            connection.sendall(response(config()))
        elif head.startswith(b"POST"):
            seen.append(head)
            body = logits([1, 1, 64, 64], data=[5.0] * 4096)
            connection.sendall(response(body)) if len(seen) < 3 else drip(connection, response(body)[:100])

    arguments = ["--image", str(tmp_path / "photos"), "--out", str(tmp_path / "masks"), "--model-name", "m"]
    with server(answer) as port, pytest.raises(SystemExit) as exit_code:
        url = ["--triton-url", f"127.0.0.1:{port}", "backend.timeout=1", "backend.concurrency=1"]
        main(["triton-client", *arguments, *url])
    assert exit_code.value.code == 2
    errors = capsys.readouterr().err
    assert "no complete answer within 1 s" in errors and "Traceback" not in errors
    masks = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert masks == ["0.png", "1.png"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("concurrency", 0), ("concurrency", 100_000), ("timeout", 0), ("timeout", -1), ("retries", -1), ("backoff", -1)],
)
def test_numbers_out_of_bounds_are_refused_before_anything_is_sent(key, value):
    with pytest.raises(ConfigError, match=f"backend.{key}={value}: "):
        TritonBackend("127.0.0.1:1/any", **{key: value})
