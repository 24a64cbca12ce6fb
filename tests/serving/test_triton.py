import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import trustme

from flood_seg.cli.main import main
from flood_seg.config.schema import TritonConfig
from flood_seg.errors import ConfigError, ModelError, ServerError
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.backends.triton import TritonBackend
from flood_seg.serving import lifecycle
from flood_seg.serving.processes import command_line
from flood_seg.serving.server import stop_server
from tests.inference.conftest import red_spec, write_model
from tests.serving.conftest import (
    AT_ONCE,
    STARTED,
    children,
    embedded_config,
    free_ports,
    has_ended,
    options,
    serve,
    write_served,
)

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


def flood_seg_in_process(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_code:
        main([str(argument) for argument in arguments])
        raise SystemExit(0)
    return int(exit_code.value.code)


def test_a_client_gets_the_masks_of_infer_to_the_bit(served, tmp_path):
    photos = write_photos(tmp_path / "photos")
    folders = {name: tmp_path / name for name in ("infer", "http", "grpc")}
    arguments = ("--onnx", served.folder / "red.onnx", "--image", photos, "--out", folders["infer"])
    assert flood_seg_in_process("infer", *arguments) == 0
    for protocol in ("http", "grpc"):
        url = f"127.0.0.1:{getattr(served, protocol)}"
        arguments = ("--image", photos, "--out", folders[protocol], "--triton-url", url, "--protocol", protocol)
        assert flood_seg_in_process("triton-client", *arguments) == 0
    names = sorted(path.name for path in folders["infer"].iterdir())
    assert len(names) == 6
    for name in names:
        one, two, three = ((folder / name).read_bytes() for folder in folders.values())
        assert one == two == three
        assert 0 < cv2.imread(str(folders["infer"] / name), 0).mean() < 255  # water and land


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
    expected, deadline = sum(map(len, batches)), time.monotonic() + 10
    after = _metrics(served.metrics)
    while after["nv_inference_count"] - before["nv_inference_count"] < expected and time.monotonic() < deadline:
        time.sleep(0.1)  # Triton counts a request after its answer
        after = _metrics(served.metrics)
    assert after["nv_inference_count"] - before["nv_inference_count"] == expected
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


def test_an_answer_of_nan_fails_its_own_request_alone(served):
    backend = TritonBackend(f"127.0.0.1:{served.http}/{NAME}")
    good = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    with pytest.raises(ServerError, match="the model returns NaN or infinity for 100.0% of the logits"):
        backend.run(np.full_like(good, np.nan))
    assert np.isfinite(backend.run(good)).all()


def test_a_client_needs_neither_torch_nor_onnxruntime(served, tmp_path):
    photo = write_photos(tmp_path / "photos", 1) / "0.png"
    code = (
        f"import sys; from flood_seg.cli.main import main; main(['triton-client', '--image', {str(photo)!r}, "
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


@contextlib.contextmanager
def process_named_tritonserver(repository: Path) -> Iterator[int]:
    """What another terminal runs: a process that looks like a server on that repository, and its record."""
    words = ["tritonserver", "-c", "import time; time.sleep(100)", "--id=other", f"--model-repository={repository}"]
    process = subprocess.Popen(words, executable=sys.executable)
    STARTED.append(process)
    repository.mkdir(parents=True)
    record = {"runtime": "embedded", "pid": process.pid, "identity": "other"}
    (repository / "flood_seg_triton.json").write_text(json.dumps(record))
    while not command_line(process.pid):
        time.sleep(0.01)
    yield process.pid
    assert process.poll() is None, "another folder's server was ended"
    process.kill()
    process.wait()


def test_ctrl_c_ends_the_server_and_leaves_nothing(tmp_path):
    elsewhere = tmp_path / "elsewhere" / "triton_model_repository"
    with process_named_tritonserver(elsewhere) as other:
        started = serve(tmp_path, write_model(tmp_path / "m.onnx", red_spec()))
        below = children(started.process.pid)
        assert len(below) >= 3  # the supervisor, the server, and the stub that runs model.py
        os.kill(started.process.pid, signal.SIGINT)
        assert started.process.wait(30) == 0
    assert started.process.stdout.read().splitlines()[-1] == "flood_seg_triton: stopped"
    warning = f"flood_seg_triton: another server of this name runs from triton.repository={elsewhere} (process {other})"
    assert warning in started.process.stderr.read()
    assert all(has_ended(pid) for pid in below)
    assert not (tmp_path / "triton_model_repository" / "flood_seg_triton.json").exists()


def test_stopped_by_another_terminal_an_attached_server_ends_quietly(tmp_path, monkeypatch, capsys):
    started = serve(tmp_path, write_model(tmp_path / "m.onnx", red_spec()))
    below = children(started.process.pid)
    monkeypatch.chdir(tmp_path)
    assert flood_seg_in_process("triton-server", "--stop", AT_ONCE) == 0
    assert re.search(r"^flood_seg_triton: (stopped|killed after 1 s) \(process \d+\)\n$", capsys.readouterr().out)
    assert started.process.wait(10) == 0
    assert started.process.stdout.read().splitlines()[-1] == "flood_seg_triton: stopped by --stop"
    assert "error" not in started.process.stderr.read() and all(has_ended(pid, 5) for pid in below)
    assert not (tmp_path / "triton_model_repository" / "flood_seg_triton.json").exists()


def test_a_server_that_is_killed_is_an_error_in_its_terminal_and_leaves_nothing(tmp_path):
    started = serve(tmp_path, write_model(tmp_path / "m.onnx", red_spec()))
    supervisor, server, *stubs = children(started.process.pid)
    os.kill(server, signal.SIGKILL)
    _, errors = started.process.communicate(timeout=10)
    assert started.process.returncode == 2 and "Triton ended by itself (killed by SIGKILL: " in errors
    assert all(has_ended(pid, 5) for pid in (supervisor, *stubs))


def start_loading(config: TritonConfig, detach: bool = False) -> tuple[lifecycle.Server, list[int]]:
    """Starts a server, and returns while its stub loads the model: the moment at which an orphan would wait forever."""
    server = lifecycle.start(config, "embedded", Path(config.repository), detach=detach)
    STARTED.append(server.process)
    while len(below := children(server.process.pid)) < 2:
        assert server.process.poll() is None
        time.sleep(0.01)
    return server, below


def test_a_server_that_is_killed_while_it_loads_leaves_no_stub(tmp_path):
    config = embedded_config(tmp_path / "root")
    write_served(config, write_model(tmp_path / "m.onnx", red_spec()))
    server, (triton, stub) = start_loading(config, detach=True)
    os.kill(triton, signal.SIGKILL)
    assert server.process.wait(10) == 128 + signal.SIGKILL and has_ended(stub, 1)
    with pytest.raises(ServerError, match="killed by SIGKILL"):
        lifecycle.wait_until_ended(server)


def test_a_killed_command_takes_the_server_with_it_while_it_loads(tmp_path):
    model = write_model(tmp_path / "m.onnx", red_spec())
    command = [sys.executable, "-m", "flood_seg", "triton-server", "--model-path", str(model), *options(free_ports())]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    STARTED.append(process)
    while len(below := children(process.pid)) < 3:
        time.sleep(0.01)
    process.kill()
    assert all(has_ended(pid, 10) for pid in below)


def test_detached_it_is_found_by_its_name_and_stopped_from_elsewhere(tmp_path, monkeypatch, capsys):
    model, ports = write_model(tmp_path / "m.onnx", red_spec()), free_ports()
    monkeypatch.chdir(tmp_path)
    done = flood_seg("triton-server", "--model-path", model, "--detach", *options(ports), cwd=tmp_path)
    assert done.returncode == 0 and "--stop" in done.stdout, done.stderr
    root = tmp_path / "triton_model_repository"
    pid = json.loads((root / "flood_seg_triton.json").read_text())["pid"]
    try:
        assert TritonBackend(f"127.0.0.1:{ports[0]}/{NAME}").spec == red_spec()
        start = ("triton-server", "--model-path", model)
        assert flood_seg_in_process(*start, *options(free_ports())) == 2
        assert "is running already" in capsys.readouterr().err
        assert flood_seg_in_process(*start, "--container-name", "other", *options(ports)) == 2
        error = capsys.readouterr().err
        assert f"127.0.0.1:{ports[0]}: unavailable" in error and error.count("\n") == 1
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert flood_seg_in_process(*start, *options(ports)) == 2
        error = capsys.readouterr().err
        here = f"triton.repository={root} (process {pid})"  # beside those of others who test on this machine
        assert "a server named flood_seg_triton runs from triton.repository=" in error and here in error
        assert flood_seg_in_process("triton-server", "--stop") == 2
        error = capsys.readouterr().err
        assert "not running from triton.repository=triton_model_repository, but from " in error
        assert here in error and not has_ended(pid, 0)
    finally:
        monkeypatch.chdir(tmp_path)
        stopped = flood_seg_in_process("triton-server", "--stop", AT_ONCE)
    assert stopped == 0 and has_ended(pid, 1)
    assert flood_seg_in_process("triton-server", "--stop") == 2
    assert "flood_seg_triton: not running from triton.repository" in capsys.readouterr().err


def test_what_is_left_where_all_but_the_stub_were_killed_is_ended_by_stop_which_says_so(tmp_path, capsys):
    config = embedded_config(tmp_path / "root")
    write_served(config, write_model(tmp_path / "m.onnx", red_spec()))
    server, (triton, stub) = start_loading(config)
    os.kill(server.process.pid, signal.SIGSTOP)  # so that it cannot do its work before it is killed
    os.kill(triton, signal.SIGKILL)
    server.process.kill()
    server.process.wait()
    assert has_ended(triton, 5)
    stop_server(config)
    out = capsys.readouterr().out
    assert out == f"flood_seg_triton: had ended already, not by --stop, and left processes, which were killed: {stub}\n"
    assert has_ended(stub, 5) and not server.record.exists()


def test_a_record_of_before_a_reboot_ends_nobody(tmp_path, capsys):
    """The number of the server's process is another program's by now, which leads a group of its own."""
    words = [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
    STARTED.append(other)
    config = embedded_config(tmp_path)
    lifecycle.record_of(config).write_text(json.dumps({"runtime": "embedded", "pid": other.pid, "identity": "gone"}))
    stop_server(config)
    assert capsys.readouterr().out == "flood_seg_triton: had ended already, not by --stop\n"
    assert not has_ended(other.pid, 0.2)
    other.communicate(b"\n", timeout=10)
    assert other.returncode == 0


def test_of_a_group_whose_leader_has_ended_only_tritons_own_are_ended(tmp_path, capsys):
    """Its number may have been another program's group in the meantime."""
    other = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    with subprocess.Popen(
        [sys.executable, "-c", other], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as leader:
        member = int(leader.stdout.readline())
    config = embedded_config(tmp_path)
    lifecycle.record_of(config).write_text(json.dumps({"runtime": "embedded", "pid": leader.pid, "identity": "gone"}))
    try:
        stop_server(config)
        assert capsys.readouterr().out == "flood_seg_triton: had ended already, not by --stop\n"
        assert not has_ended(member, 0.2)
    finally:
        os.kill(member, signal.SIGKILL)


def test_a_model_that_cannot_be_opened_starts_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for model, message in (("no.onnx", "no such file"), ("broken.onnx", "not a whole ONNX model")):
        assert flood_seg_in_process("triton-server", "--model-path", model, *options(free_ports())) == 2
        errors = capfd.readouterr().err
        assert message in errors and errors.count("\n") == 1
    assert not (tmp_path / "triton_model_repository").exists()


def test_a_model_that_fails_in_the_server_is_a_line_with_its_reason(tmp_path):
    config = embedded_config(tmp_path / "root")
    folder = write_served(config, write_model(tmp_path / "m.onnx", red_spec()))
    (folder / "1" / "model.py").unlink()  # which may be a link to ours
    (folder / "1" / "model.py").write_text("raise ValueError('the pump is broken')")
    server = lifecycle.start(config, "embedded", tmp_path / "root", detach=False)
    with pytest.raises(ServerError, match="did not start: ValueError: the pump is broken; its log is"):
        lifecycle.wait_until_ready(server)
    lifecycle.stop(server)
    assert has_ended(server.process.pid, 1) and not server.record.exists()


def test_a_model_without_a_spec_on_the_server_is_refused(tmp_path):
    """A model that was typed by hand: the same config.pbtxt without its parameters."""
    config = embedded_config(tmp_path / "root")
    file = write_served(config, write_model(tmp_path / "m.onnx", red_spec())) / "config.pbtxt"
    file.write_text(file.read_text().replace('key: "flood_seg.spec"', 'key: "other"'))
    server = lifecycle.start(config, "embedded", tmp_path / "root", detach=False)
    try:
        lifecycle.wait_until_ready(server)
        with pytest.raises(ModelError, match="carries no ModelSpec"):
            TritonBackend(f"127.0.0.1:{config.http_port}/{NAME}")
    finally:
        lifecycle.stop(server)
