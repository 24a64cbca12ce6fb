"""The triton-server verb: makes the model repository, starts Triton, waits until it answers, ends it cleanly."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg import containers
from flood_seg.console import say, warn
from flood_seg.errors import ModelError, ServerError, UsageError
from flood_seg.inference.engines import open_backend
from flood_seg.inference.models import default_model
from flood_seg.serving import docker, embedded, lifecycle
from flood_seg.serving.repository import Serving, write_repository

if TYPE_CHECKING:
    from flood_seg.config.schema import TritonConfig, TritonServerConfig
    from flood_seg.spec import ModelSpec


def triton_server(
    config: TritonServerConfig, model_type: str | None = None, model: Path | None = None, detach: bool = False
) -> None:
    """Serves a model until Ctrl-C or SIGTERM; detached, returns when the server answers.

    Args:
        config: the engine, Triton's runtime, names, ports and batching.
        model_type: `onnx` or `trt`; None: as the model's suffix tells.
        model: the model; None: the newest run's, else the one in the box.
        detach: leave the server running.

    Raises:
        ServerError: a taken port or name, no runtime, a server that does not come up; nothing is left running.
        ModelError: the model cannot be used.
    """
    triton = config.triton
    path = model or default_model(Path(config.output_dir))[0]
    kind = _model_type(model_type, path)
    runtime = _choose_runtime(triton.runtime, in_container=kind == "trt" or _is_onnxruntime(config))
    root = Path(triton.repository)
    _check_free(triton, runtime, root)
    spec, serving = _plan(config, path, kind, runtime)
    if runtime == "docker":
        containers.ensure_image(f"{docker.IMAGE}:{triton.docker_version}-py3")
    write_repository(root, triton.model_name, path, spec, serving)
    with lifecycle.sigterm_as_interrupt():
        server = lifecycle.start(triton, runtime, root, detach)
        try:
            lifecycle.wait_until_ready(server)
            for place in lifecycle.elsewhere(triton) if runtime == "embedded" else ():
                warn(f"{triton.container_name}: another server of this name runs from {place}")
            say(_describe(server, path, detach))
            if detach:
                return
            lifecycle.wait_until_ended(server)
        except BaseException as error:
            by_command = lifecycle.was_stopped(server) and isinstance(error, ServerError)
            lifecycle.stop(server)
            if detach or not (by_command or isinstance(error, KeyboardInterrupt)):  # both end one in the foreground
                raise
    say(f"{triton.container_name}: stopped{' by --stop' if by_command else ''}")


def stop_server(triton: TritonConfig) -> None:
    """Ends the server that was started under this name, in whatever terminal.

    Raises:
        ServerError: there is none.
    """
    name, record = triton.container_name, lifecycle.record_of(triton)
    left = lifecycle.sweep(record)
    if pid := lifecycle.running(record):
        lifecycle.mark_stopped(record)
        in_time = lifecycle.terminate(pid, triton.stop_timeout)
        done = f"stopped (process {pid})" if in_time else f"killed after {triton.stop_timeout} s (process {pid})"
    elif containers.is_available() and containers.state(name):
        lifecycle.mark_stopped(record)
        containers.stop(name, triton.stop_timeout)
        done = "stopped (container)"
    elif left is not None:
        rest = f", and left processes that are ended now: {', '.join(map(str, left))}" if left else ""
        done = f"had ended already, not by --stop{rest}"
    else:
        raise ServerError(_no_such_server(triton))
    record.unlink(missing_ok=True)
    say(f"{name}: {done}")


def _no_such_server(triton: TritonConfig) -> str:
    name, places = triton.container_name, lifecycle.elsewhere(triton)
    if places:
        return f"{name}: no such server runs from triton.repository={triton.repository}, but from {', '.join(places)}"
    return f"{name}: no such server runs; see triton.repository and --container-name"


def _model_type(given: str | None, path: Path) -> str:
    """Returns `onnx` or `trt`."""
    if given not in (None, "onnx", "trt"):
        raise UsageError(f"--model-type {given}: allowed are onnx, trt")
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give --model-path an ONNX file, or a plan with --model-type trt")
    return given or ("trt" if path.suffix in (".plan", ".engine", ".trt") else "onnx")


def _is_onnxruntime(config: TritonServerConfig) -> bool:
    return str(config.backend.get("_target_", "")).endswith("OnnxRuntimeBackend")


def _choose_runtime(runtime: str, in_container: bool = True) -> str:
    """Returns `docker` or `embedded`; `in_container`: whether NVIDIA's container has the engine."""
    there = {"docker": lambda: in_container and containers.is_available(), "embedded": embedded.is_available}
    if runtime == "docker" and not in_container:
        raise ServerError(
            "triton.runtime=docker: runs ONNX Runtime or TensorRT alone; triton.runtime=embedded runs all"
        )
    chosen = runtime if runtime != "auto" else next((name for name, works in there.items() if works()), None)
    if chosen is None or not there[chosen]():
        what = "no Triton server is here" if chosen is None else f"triton.runtime={chosen}: not here"
        raise ServerError(
            f"{what}; install Docker (docs.docker.com/engine/install) and start its engine, "
            "or 'pip install flood-seg[serve]' for the embedded one"
        )
    return chosen


def _check_free(triton: TritonConfig, runtime: str, root: Path) -> None:
    """Raises ServerError where the server's name or one of its ports is taken."""
    name = triton.container_name
    lifecycle.sweep(lifecycle.record_of(triton))
    stopping = f"'flood-seg triton-server --stop --container-name {name}' ends it"
    if lifecycle.running(lifecycle.record_of(triton)):
        raise ServerError(f"{name}: such a server runs already; {stopping}, --container-name names another")
    if runtime == "docker" and (state := containers.state(name)):
        raise ServerError(f"{name}: there is such a container ({state}); {stopping}, --container-name names another")
    ports = {key: getattr(triton, key) for key in ("http_port", "grpc_port", "metrics_port")}
    if len(set(ports.values())) < len(ports):
        raise ServerError(f"{', '.join(f'{key}={port}' for key, port in ports.items())}: give three different ports")
    for key, port in ports.items():
        try:
            _check_port(triton.host, key, port)
        except ServerError as error:
            places = lifecycle.elsewhere(triton)
            hint = f"; a server named {name} runs from {', '.join(places)}" if places else ""
            raise ServerError(f"{error}{hint}") from error


def _check_port(host: str, key: str, port: int) -> None:
    flag = "--http-port" if key == "http_port" else f"triton.{key}=..."
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise ServerError(f"--host {host}: no such address ({error.strerror})") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ServerError(f"--host {host}: no address of this machine; 127.0.0.1 and 0.0.0.0 are") from error
        raise ServerError(f"{host}:{port}: cannot be had ({error.strerror}); give another {flag}") from error


def _plan(config: TritonServerConfig, path: Path, model_type: str, runtime: str) -> tuple[ModelSpec, Serving]:
    """Opens the model once, so that one that fails is told in a line and nothing is started."""
    triton, batching = config.triton, dict[str, Any]()
    batching |= {"max_batch_size": triton.max_batch_size, "queue_delay_us": triton.queue_delay_us}
    batching |= {"instances": triton.instances}
    if runtime == "docker":
        return _plan_container(triton, path, model_type, batching)
    engine = dict(config.backend)
    if model_type == "trt":
        from flood_seg.inference.engines import Engine

        engine = Engine("tensorrt", (), str(path)).node()
    elif triton.use_gpus and engine.get("provider") == "auto":
        engine["provider"] = "cuda"
    spec = open_backend(engine, str(path)).spec
    return spec, Serving("python", engine=engine, beside=embedded.backend_files(), **batching)


def _plan_container(
    triton: TritonConfig, path: Path, model_type: str, batching: dict[str, Any]
) -> tuple[ModelSpec, Serving]:
    if model_type == "onnx":
        from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend

        spec = OnnxRuntimeBackend(path, provider="cpu").spec
        return spec, Serving("onnxruntime", use_gpus=triton.use_gpus, **batching)
    if not triton.use_gpus:
        raise UsageError(f"{path}: a TensorRT plan runs on a GPU; add --use-gpus true")
    from flood_seg.inference.backends.tensorrt import read_sidecar

    return read_sidecar(path).spec, Serving("tensorrt", use_gpus=True, **batching)


def _describe(server: lifecycle.Server, model: Path, detach: bool) -> str:
    triton = server.config
    place = "in NVIDIA's container" if server.runtime == "docker" else "embedded"
    ending = (
        f"'flood-seg triton-server --stop --container-name {triton.container_name}' ends it"
        if detach
        else "Ctrl-C ends it"
    )
    return (
        f"Triton ({place}) serves {model} as {triton.model_name} on {triton.host}: HTTP {triton.http_port}, "
        f"gRPC {triton.grpc_port}, metrics {triton.metrics_port}\nLog {server.log}; {ending}"
    )
