import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import trustme

from flood_seg.errors import ConfigError, ModelError, ServerError
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.backends.triton import TritonBackend
from flood_seg.schema import TritonConfig
from flood_seg.serving import lifecycle
from tests.inference.conftest import red_spec, write_model
from tests.serving.conftest import children, free_ports, has_ended, options, serve

NAME = "flood_area_segmentation"


def flood_seg(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "flood_seg", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60, check=False
    )


def write_photos(folder: Path, count: int = 6) -> Path:
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (80 + number, 100, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.GaussianBlur(noise, (0, 0), 5))
    return folder


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_client_gets_the_masks_of_infer_to_the_bit(protocol, served, tmp_path):
    photos = write_photos(tmp_path / "photos")
    url = f"127.0.0.1:{getattr(served, protocol)}"
    arguments = ("--image", photos, "--out", tmp_path / "served", "--triton-url", url, "--protocol", protocol)
    done = flood_seg("triton-client", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    arguments = ("--onnx", served.folder / "red.onnx", "--image", photos, "--out", tmp_path / "local")
    assert flood_seg("infer", *arguments, cwd=tmp_path).returncode == 0
    names = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "served" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
        assert 0 < cv2.imread(str(tmp_path / "local" / name), 0).mean() < 255  # water and land


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_concurrent_requests_are_batched_and_each_gets_its_own_answer(protocol, served):
    before = _metrics(served.metrics)
    backend = TritonBackend(f"127.0.0.1:{getattr(served, protocol)}/{NAME}", protocol)
    local = OnnxRuntimeBackend(served.folder / "red.onnx")
    batches = [np.random.default_rng(n).standard_normal((1 + n % 2, 3, 64, 64), np.float32) for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(backend.run, batches))
    for batch, answer in zip(batches, answers, strict=True):
        assert np.array_equal(answer, local.run(batch))
    after = _metrics(served.metrics)
    assert after["nv_inference_count"] - before["nv_inference_count"] == sum(map(len, batches))
    assert after["nv_inference_exec_count"] - before["nv_inference_exec_count"] < len(batches)


def _metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_another_size_and_the_spec_come_through(served):
    backend = TritonBackend(f"127.0.0.1:{served.http}/{NAME}")
    assert backend.spec == red_spec()
    batch = np.ones((1, 3, 33, 47), np.float32)
    assert np.array_equal(backend.run(batch), OnnxRuntimeBackend(served.folder / "red.onnx").run(batch))


def test_a_client_needs_neither_torch_nor_onnxruntime(served, tmp_path):
    photo = write_photos(tmp_path / "photos", 1) / "0.png"
    code = (
        f"import sys; from flood_seg.cli import main; main(['triton-client', '--image', {str(photo)!r}, "
        f"'--triton-url', '127.0.0.1:{served.http}']); "
        "print([m for m in ('torch', 'onnxruntime', 'onnx', 'mlflow', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_what_a_client_can_get_wrong_is_a_line(protocol, served):
    here = f"127.0.0.1:{getattr(served, protocol)}"
    with pytest.raises(ServerError, match=f"no model 'flood'; it has {NAME}.*--model-name"):
        TritonBackend(f"{here}/flood", protocol)
    (nobody,) = free_ports(1)
    with pytest.raises(ServerError, match="no server answers there .*refused"):
        TritonBackend(f"127.0.0.1:{nobody}/{NAME}", protocol, retries=0)
    with pytest.raises(ServerError, match="see (host|whether)"):  # the other protocol's port
        TritonBackend(f"127.0.0.1:{served.metrics}/{NAME}", protocol, retries=0, timeout=2)
    with pytest.raises(ServerError, match="unexpected shape for input 'input'"):
        TritonBackend(f"{here}/{NAME}", protocol).run(np.ones((1, 4, 64, 64), np.float32))
    with pytest.raises(ServerError, match="batch"):
        TritonBackend(f"{here}/{NAME}", protocol).run(np.ones((9, 3, 64, 64), np.float32))


def test_a_server_that_never_answers_is_a_line_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(ServerError, match="no complete answer within 0.5 s"):
            TritonBackend(f"127.0.0.1:{silent.getsockname()[1]}/{NAME}", timeout=0.5)
        assert time.monotonic() - started < 10


def test_a_refused_connection_is_tried_again(served):
    """The server is reached through a port that opens only after a while."""
    (port,) = free_ports(1)

    def open_late() -> None:
        time.sleep(0.6)
        _forward(port, served.http, threading.Event())

    threading.Thread(target=open_late, daemon=True).start()
    with pytest.raises(ServerError, match="no server answers"):
        TritonBackend(f"127.0.0.1:{port}/{NAME}", retries=1, backoff=0.05)
    assert TritonBackend(f"127.0.0.1:{port}/{NAME}", retries=4, backoff=0.25).spec == red_spec()


def _forward(port: int, target: int, seen: threading.Event, context: ssl.SSLContext | None = None) -> None:
    """Passes connections on; sets `seen` when the bytes of a request hold the token."""
    server = socket.create_server(("127.0.0.1", port))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if b"bearer secret" in data.lower():
                    seen.set()
                sink.sendall(data)

    def accept() -> None:
        while True:
            client, _ = server.accept()
            try:
                wrapped = context.wrap_socket(client, server_side=True) if context else client
            except OSError:
                continue
            behind = socket.create_connection(("127.0.0.1", target))
            for pair in ((wrapped, behind), (behind, wrapped)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tls_and_a_token_reach_the_server(protocol, served, tmp_path, monkeypatch):
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2"] if protocol == "grpc" else ["http/1.1"])
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (port,), seen = free_ports(1), threading.Event()
    _forward(port, getattr(served, protocol), seen, context)
    monkeypatch.setenv("MY_TOKEN", "secret")
    address = f"{protocol}s://localhost:{port}/{NAME}"
    backend = TritonBackend(address, ca_file=str(tmp_path / "ca.pem"), token_env="MY_TOKEN")
    assert backend.run(np.ones((1, 3, 64, 64), np.float32)).shape == (1, 1, 64, 64)
    if protocol == "http":  # gRPC compresses its headers
        assert seen.is_set()
    with pytest.raises(ServerError, match=r"certificate|CERTIFICATE|no server answers"):
        TritonBackend(address, retries=0)  # not signed by anyone whom the system trusts
    with pytest.raises(ConfigError, match="ca_file=.*No such file"):
        TritonBackend(address, ca_file=str(tmp_path / "no.pem"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_leaves_nothing(number, tmp_path):
    started = serve(tmp_path, write_model(tmp_path / "m.onnx", red_spec()))
    below = children(started.process.pid)
    assert len(below) >= 2  # the server and the stub that runs model.py
    os.kill(started.process.pid, number)
    assert started.process.wait(30) == 0
    assert started.process.stdout.read().splitlines()[-1] == "flood_seg_triton: stopped"
    assert all(has_ended(pid) for pid in below)
    assert not (tmp_path / "triton_model_repository" / "flood_seg_triton.json").exists()


def test_a_killed_parent_takes_the_server_with_it(tmp_path):
    started = serve(tmp_path, write_model(tmp_path / "m.onnx", red_spec()))
    below = children(started.process.pid)
    started.process.kill()
    assert all(has_ended(pid) for pid in below)


def test_detached_it_is_found_by_its_name_and_stopped_from_elsewhere(tmp_path):
    model, ports = write_model(tmp_path / "m.onnx", red_spec()), free_ports()
    done = flood_seg("triton-server", "--model-path", model, "--detach", *options(ports), cwd=tmp_path)
    assert done.returncode == 0 and "--stop" in done.stdout, done.stderr
    pid = json.loads((tmp_path / "triton_model_repository" / "flood_seg_triton.json").read_text())["pid"]
    try:
        assert TritonBackend(f"127.0.0.1:{ports[0]}/{NAME}").spec == red_spec()
        again = flood_seg("triton-server", "--model-path", model, *options(free_ports()), cwd=tmp_path)
        assert again.returncode == 2 and "such a server runs already" in again.stderr
        other = ("--container-name", "other", *options(ports))
        taken = flood_seg("triton-server", "--model-path", model, *other, cwd=tmp_path)
        assert taken.returncode == 2 and f"127.0.0.1:{ports[0]}: cannot be had" in taken.stderr
        assert taken.stderr.count("\n") == 1
    finally:
        stopped = flood_seg("triton-server", "--stop", cwd=tmp_path)
    assert stopped.returncode == 0 and has_ended(pid, 1)
    none = flood_seg("triton-server", "--stop", cwd=tmp_path)
    assert none.returncode == 2 and "no such server runs" in none.stderr


def test_what_a_killed_server_left_is_ended_by_the_next_command(tmp_path):
    model = write_model(tmp_path / "m.onnx", red_spec())
    done = flood_seg("triton-server", "--model-path", model, "--detach", *options(free_ports()), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pid = json.loads((tmp_path / "triton_model_repository" / "flood_seg_triton.json").read_text())["pid"]
    below = children(pid)
    os.kill(pid, signal.SIGKILL)
    assert below and has_ended(pid)
    stopped = flood_seg("triton-server", "--stop", cwd=tmp_path)
    assert stopped.returncode == 2 and "no such server runs" in stopped.stderr
    assert all(has_ended(stub, 5) for stub in below)


def test_a_model_that_cannot_be_opened_starts_nothing(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for model, message in (("no.onnx", "no such file"), ("broken.onnx", "not a whole ONNX model")):
        done = flood_seg("triton-server", "--model-path", model, *options(free_ports()), cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "triton_model_repository").exists()


def test_a_model_that_fails_in_the_server_is_a_line_with_its_reason(tmp_path):
    started = serve(tmp_path, write_model(tmp_path / "m.onnx", red_spec()))
    os.kill(started.process.pid, signal.SIGTERM)
    started.process.wait(30)
    root = tmp_path / "triton_model_repository"
    (root / NAME / "1" / "model.py").unlink()
    (root / NAME / "1" / "model.py").write_text("raise ValueError('the pump is broken')")
    config = TritonConfig(**dict(zip(("http_port", "grpc_port", "metrics_port"), free_ports(), strict=True)))
    server = lifecycle.start(config, "embedded", root, detach=False)
    with pytest.raises(ServerError, match="did not come up: ValueError: the pump is broken; its log is"):
        lifecycle.wait_until_ready(server)
    lifecycle.stop(server)
    assert has_ended(server.process.pid, 1) and not server.record.exists()


def test_a_model_without_a_spec_on_the_server_is_refused(served, tmp_path):
    """A model that was typed by hand: the same config.pbtxt without its parameters."""
    root = tmp_path / "repository"
    first = serve(tmp_path, served.folder / "red.onnx", f"triton.repository={root}").process
    first.terminate()
    assert first.wait(30) == 0
    text = (root / NAME / "config.pbtxt").read_text().replace('key: "flood_seg.spec"', 'key: "other"')
    (root / NAME / "config.pbtxt").write_text(text)
    config = TritonConfig(**dict(zip(("http_port", "grpc_port", "metrics_port"), free_ports(), strict=True)))
    server = lifecycle.start(config, "embedded", root, detach=False)
    try:
        lifecycle.wait_until_ready(server)
        with pytest.raises(ModelError, match="carries no ModelSpec"):
            TritonBackend(f"127.0.0.1:{config.http_port}/{NAME}")
    finally:
        lifecycle.stop(server)
