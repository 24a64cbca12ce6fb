"""Serves a model with Triton: writes the repository, starts the server, waits until it is ready, stops it cleanly."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg import containers
from flood_seg.console import say, warn
from flood_seg.errors import ModelError, ServerError, UsageError
from flood_seg.inference.engines import Engine, backend_class, on_gpu, open_backend
from flood_seg.serving import docker, embedded, lifecycle
from flood_seg.serving.repository import Serving, write_repository
from flood_seg.signals import sigterm_as_interrupt

if TYPE_CHECKING:
    from flood_seg.config.schema import TritonConfig
    from flood_seg.spec import ModelSpec


def serve(
    triton: TritonConfig, backend: dict[str, Any], model: Path, model_type: str | None = None, detach: bool = False
) -> None:
    """Serves a model until Ctrl-C or SIGTERM; detached, returns when the server is ready.

    Args:
        triton: the runtime, names, ports and batching.
        backend: the backend's configuration, a `backend` group.
        model: its file.
        model_type: `onnx` or `trt`, which chooses the backend of a plan; None: as the model's suffix implies.
        detach: leave the server running.

    Raises:
        ServerError: a port or name in use, no runtime, a server that does not start; nothing is left running.
        ModelError: the model cannot be used.
    """
    engine = _choose_backend(backend, model, model_type)
    runtime = _choose_runtime(triton.runtime, in_container=backend_class(engine).triton_platform is not None)
    root = Path(triton.repository)
    _check_free(triton, runtime, root)
    spec, serving = _plan(triton, model, engine, runtime)
    if runtime == "docker":
        containers.ensure_image(f"{docker.IMAGE}:{triton.docker_version}-py3")
    write_repository(root, triton.model_name, model, spec, serving)
    with sigterm_as_interrupt():
        server = lifecycle.start(triton, runtime, root, detach)
        try:
            lifecycle.wait_until_ready(server)
            for place in lifecycle.elsewhere(triton) if runtime == "embedded" else ():
                warn(f"{triton.container_name}: another server of this name runs from {place}")
            say(*_describe(server, model, detach))
            if detach:
                return
            lifecycle.wait_until_ended(server)
        except BaseException as error:
            by_command = lifecycle.was_stopped(server) and isinstance(error, ServerError)
            lifecycle.stop(server)
            if detach or not (by_command or isinstance(error, KeyboardInterrupt)):  # both are a normal end
                raise
    say(f"{triton.container_name}: stopped{' by --stop' if by_command else ''}")


def stop_server(triton: TritonConfig) -> None:
    """Stops the server that was started under this name, from any terminal.

    Raises:
        ServerError: no such server is running.
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
        rest = f", and left processes, which were killed: {', '.join(map(str, left))}" if left else ""
        done = f"had ended already, not by --stop{rest}"
    elif places := lifecycle.elsewhere(triton):
        raise ServerError(
            f"{name}: not running from triton.repository={triton.repository}, but from {', '.join(places)}"
        )
    else:
        raise ServerError(f"{name}: not running; check triton.repository and --container-name")
    record.unlink(missing_ok=True)
    say(f"{name}: {done}")


def _choose_backend(backend: dict[str, Any], path: Path, given: str | None) -> dict[str, Any]:
    """Returns the configuration of the backend that serves the model; `given` is the --model-type."""
    if given not in (None, "onnx", "trt"):
        raise UsageError(f"--model-type {given}: allowed are onnx, trt")
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give --model-path an ONNX file, or a plan with --model-type trt")
    if given == "trt" and backend_class(backend).triton_platform != "tensorrt":
        return Engine("tensorrt", (), str(path)).node()
    return backend


def _choose_runtime(runtime: str, in_container: bool = True) -> str:
    """Returns `docker` or `embedded`; `in_container`: whether NVIDIA's container has the backend."""
    available = {"docker": lambda: in_container and containers.is_available(), "embedded": embedded.is_available}
    if runtime == "docker" and not in_container:
        raise ServerError(
            "triton.runtime=docker: runs ONNX Runtime and TensorRT only; triton.runtime=embedded runs every backend"
        )
    chosen = runtime if runtime != "auto" else next((name for name, works in available.items() if works()), None)
    if chosen is None or not available[chosen]():
        what = "no Triton server is available" if chosen is None else f"triton.runtime={chosen}: not available"
        raise ServerError(
            f"{what}; install Docker (docs.docker.com/engine/install) and start its engine, "
            "or 'pip install flood-seg[serve]' for the embedded server"
        )
    return chosen


def _check_free(triton: TritonConfig, runtime: str, root: Path) -> None:
    """Raises ServerError where the server's name or one of its ports is in use."""
    name = triton.container_name
    lifecycle.sweep(lifecycle.record_of(triton))
    stopping = f"{_stop_command(triton)} stops it"
    if lifecycle.running(lifecycle.record_of(triton)):
        raise ServerError(f"{name}: is running already; {stopping}, --container-name chooses another name")
    if runtime == "docker" and (state := containers.state(name)):
        raise ServerError(
            f"{name}: a container of this name exists ({state}); {stopping}, --container-name chooses another name"
        )
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
        raise ServerError(f"--host {host}: unknown address ({error.strerror})") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ServerError(f"--host {host}: not an address of this machine; 127.0.0.1 and 0.0.0.0 are") from error
        raise ServerError(f"{host}:{port}: unavailable ({error.strerror}); give another {flag}") from error


def _plan(triton: TritonConfig, path: Path, engine: dict[str, Any], runtime: str) -> tuple[ModelSpec, Serving]:
    """Reads the model before anything is started, so that one that cannot be served is reported in one line."""
    batching: dict[str, Any] = {
        "max_batch_size": triton.max_batch_size,
        "queue_delay_us": triton.queue_delay_us,
        "instances": triton.instances,
    }
    backend = backend_class(engine)
    if runtime == "docker":
        if backend.gpu_only and not triton.use_gpus:
            raise UsageError(f"{path}: a TensorRT plan runs on a GPU; add --use-gpus true")
        platform = str(backend.triton_platform)
        return backend.read_spec(path), Serving(platform, use_gpus=triton.use_gpus, **batching)
    if triton.use_gpus:
        engine = on_gpu(engine)
    spec = open_backend(engine, str(path)).spec
    return spec, Serving("python", engine=engine, beside=embedded.backend_files(), **batching)


def _describe(server: lifecycle.Server, model: Path, detach: bool) -> tuple[str, str]:
    triton = server.config
    place = "in NVIDIA's container" if server.runtime == "docker" else "embedded"
    stopping = f"{_stop_command(triton)} stops it" if detach else "Ctrl-C stops it"
    return (
        f"Triton ({place}) serves {model} as {triton.model_name} on {triton.host}: HTTP {triton.http_port}, "
        f"gRPC {triton.grpc_port}, metrics {triton.metrics_port}",
        f"Log {server.log}; {stopping}",
    )


def _stop_command(triton: TritonConfig) -> str:
    return f"'flood-seg triton-server --stop --container-name {triton.container_name}'"
