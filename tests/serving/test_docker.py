"""Triton in a container, with a stand-in for `docker` on the PATH: it writes down how it was called and serves
readiness on the published port, as the container would; it can also fail, hang, and have a container already."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from flood_seg.cli.main import main
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import TritonConfig
from flood_seg.errors import ServerError, UsageError
from flood_seg.inference.engines import Engine
from flood_seg.serving import docker
from flood_seg.serving.server import stop_server
from tests.inference.conftest import red_spec, write_model
from tests.serving.conftest import STARTED, free_ports, has_ended

STAND_IN = """#!{python}
import http.server, json, os, signal, subprocess, sys
here, mode = {here!r}, {mode!r}
arguments = sys.argv[1:]
with open(here + "/calls", "a") as file:
    file.write(json.dumps(arguments) + "\\n")
pid_file = here + "/container.pid"

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = next(word[5:] for word in arguments if word.startswith("--id="))
        body = json.dumps({{"name": name}}).encode() if self.path == "/v2" else b""
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass

def serve():
    outer = arguments[arguments.index("--publish") + 1].split(":")
    open(pid_file, "w").write(str(os.getpid()))
    signal.signal(signal.SIGTERM, lambda *_: (os.unlink(pid_file), os._exit(0)))
    http.server.HTTPServer((outer[0], int(outer[1])), Ready).serve_forever()

if arguments[0] == "info":
    sys.exit(1 if mode == "no engine" else 0)
if arguments[0] == "ps":
    if mode == "exists": print("exited")
    elif os.path.exists(pid_file): print("running")
elif arguments[0] == "stop":
    try: os.kill(int(open(pid_file).read()), signal.SIGTERM)
    except OSError: sys.exit("Error response from daemon: No such container: x")
elif arguments[0] in ("image", "pull"):
    if mode == "no image": sys.exit("manifest unknown")
elif arguments[0] == "logs":
    print("E1121 model_lifecycle.cc:642] failed to load 'x' version 1: Internal: onnx runtime error")
elif arguments[0] == "run":
    if mode == "fails": sys.exit("docker: Error response from daemon: pull access denied for nvcr.io.")
    if mode == "hangs": signal.pause()
    if "--detach" in arguments and os.fork(): sys.exit(0)
    if "--detach" in arguments:
        os.setsid(); [os.close(number) for number in (0, 1, 2)]
    if mode != "dies": serve()
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    def install(mode: str = "works") -> Path:
        (tmp_path / "bin").mkdir(exist_ok=True)
        script = tmp_path / "bin" / "docker"
        script.write_text(STAND_IN.format(python=sys.executable, here=str(tmp_path), mode=mode))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        write_model(tmp_path / "m.onnx", red_spec())
        return tmp_path

    return install


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "flood_seg", "triton-server", "--model-path", "m.onnx", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    STARTED.append(process)
    return process


def ports() -> tuple[list[int], list[str]]:
    free = free_ports()
    names = ("http_port", "grpc_port", "metrics_port")
    return free, [f"triton.{name}={port}" for name, port in zip(names, free, strict=True)]


def test_the_command_of_the_container(tmp_path):
    config = defaults(
        TritonConfig, container_name="box", http_port=1, grpc_port=2, metrics_port=3, docker_version="24.10"
    )
    assert docker.command(config, tmp_path, "box-1", detach=False) == [
        "docker", "run", "--rm", "--name", "box",
        "--publish", "127.0.0.1:1:8000", "--publish", "127.0.0.1:2:8001", "--publish", "127.0.0.1:3:8002",
        "--volume", f"{tmp_path}:/models:ro",
        "nvcr.io/nvidia/tritonserver:24.10-py3",
        "tritonserver", "--id=box-1", "--model-repository=/models", "--model-control-mode=explicit",
        "--load-model=flood_area_segmentation", "--disable-auto-complete-config",
    ]  # fmt: skip
    gpus = docker.command(defaults(TritonConfig, use_gpus=True, host="0.0.0.0"), tmp_path, "box-1", detach=True)
    assert gpus[5:8] == ["--detach", "--gpus", "all"] and "0.0.0.0:8000:8000" in gpus


def test_docker_is_taken_where_its_engine_answers_and_ctrl_c_stops_the_container(stand_in):
    folder, ((http, *_), options) = stand_in(), ports()
    process = start(folder, *options, "--docker-version", "25.01", "--use-gpus", "true")
    assert "Triton (in NVIDIA's container) serves m.onnx" in process.stdout.readline()
    assert process.stdout.readline().endswith("; Ctrl-C stops it\n")
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/v2/health/ready", timeout=5) as answer:
        assert answer.status == 200
    container = int((folder / "container.pid").read_text())
    config = (folder / "triton_model_repository" / "flood_area_segmentation" / "config.pbtxt").read_text()
    assert 'backend: "onnxruntime"' in config and "KIND_GPU" in config
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(20) == 0 and has_ended(container, 5)
    run = next(call for call in calls(folder) if call[0] == "run")
    assert "nvcr.io/nvidia/tritonserver:25.01-py3" in run and "--gpus" in run
    assert [call for call in calls(folder) if call[0] == "stop"]


def test_detached_it_is_stopped_by_its_name(stand_in):
    folder, (_, options) = stand_in(), ports()
    process = start(folder, "--detach", *options)
    assert process.wait(20) == 0, process.stderr.read()
    serves, log = process.stdout.read().splitlines()
    assert "\\n" not in serves + log
    assert log.startswith("Log triton") and log.endswith("--stop --container-name flood_seg_triton' stops it")
    container = int((folder / "container.pid").read_text())
    done = subprocess.run([sys.executable, "-m", "flood_seg", "triton-server", "--stop"], cwd=folder, check=False)
    assert done.returncode == 0 and has_ended(container, 5)


def test_stopped_by_another_terminal_an_attached_container_ends_quietly(stand_in, monkeypatch, capsys):
    folder, (_, options) = stand_in(), ports()
    process = start(folder, *options)
    assert "serves m.onnx" in process.stdout.readline()
    monkeypatch.chdir(folder)
    stop_server(defaults(TritonConfig))
    assert capsys.readouterr().out == "flood_seg_triton: stopped (container)\n"
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "") and out.splitlines()[-1] == "flood_seg_triton: stopped by --stop"


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fails", "did not start: Error response from daemon: pull access denied"),
        ("exists", "a container of this name exists (exited)"),
        ("no image", "docker cannot pull it"),
        ("hangs", "did not start within 1 s"),
        ("dies", "did not start"),
    ],
)
def test_a_container_that_does_not_come_up_is_a_line_and_leaves_nothing(mode, message, stand_in, monkeypatch, capfd):
    folder, (_, options) = stand_in(mode), ports()
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as exit_code:
        main(["triton-server", "--model-path", "m.onnx", *options, "triton.start_timeout=1", "triton.stop_timeout=1"])
    errors = capfd.readouterr().err
    assert exit_code.value.code == 2 and message in errors.splitlines()[-1], errors
    assert errors.count("\n") == (2 if mode == "no image" else 1)  # Docker's own line before ours
    time.sleep(0.2)
    running = subprocess.run(
        ["pgrep", "-f", str(folder / "bin" / "docker")], capture_output=True, text=True, check=False
    )
    assert not running.stdout


def test_without_an_engine_auto_takes_the_embedded_one_and_docker_is_refused(stand_in, monkeypatch):
    from flood_seg.serving import embedded
    from flood_seg.serving.server import _choose_runtime

    stand_in("no engine")
    assert _choose_runtime("auto") == "embedded"
    with pytest.raises(ServerError, match=r"triton.runtime=docker: not available; install Docker .*pip install"):
        _choose_runtime("docker")
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(ServerError, match="no Triton server is available; install Docker"):
        _choose_runtime("auto")


def test_what_the_container_cannot_run_goes_to_the_embedded_one(stand_in):
    from flood_seg.serving.server import _choose_runtime

    stand_in()
    assert _choose_runtime("auto") == "docker" and _choose_runtime("auto", in_container=False) == "embedded"
    with pytest.raises(ServerError, match="runs ONNX Runtime and TensorRT only"):
        _choose_runtime("docker", in_container=False)


def test_a_plan_in_a_container_requires_a_gpu(tmp_path):
    from flood_seg.serving.server import _plan

    backend = Engine("tensorrt", (), "m.plan").node()
    with pytest.raises(UsageError, match="runs on a GPU; add --use-gpus true"):
        _plan(defaults(TritonConfig), tmp_path / "m.plan", backend, "docker")
