"""Builds a TensorRT plan by `trtexec`: a program on the PATH, or the one in NVIDIA's container."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flood_seg import containers
from flood_seg.errors import BackendError

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.config.schema import TensorRtExport

IMAGE = "nvcr.io/nvidia/tensorrt"
# Where NVIDIA's packages put the program, which no PATH has.
PACKAGED = "/usr/src/tensorrt/bin/trtexec"
PATIENCE = 60  # seconds for a question
FLAGS = {"float16": ["--fp16"], "bfloat16": ["--bf16"], "float32": []}


@dataclass(frozen=True)
class Shapes:
    """The input's shapes that a plan is tuned for.

    Attributes:
        name: of the input tensor.
        min: [batch, bands, height, width], the smallest.
        opt: that it is fastest for.
        max: the largest.
    """

    name: str
    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]


@dataclass(frozen=True)
class Built:
    """What a builder tells of the plan.

    Attributes:
        tensorrt_version: `major.minor.patch`; empty where it was not told.
        gpu: its name; likewise.
        compute_capability: of the GPU, `9.0` for example; likewise.
    """

    tensorrt_version: str = ""
    gpu: str = ""
    compute_capability: str = ""


def arguments(
    onnx: Path | str, plan: Path | str, shapes: Shapes, options: TensorRtExport, major: int, quantized: bool = False
) -> list[str]:
    """Returns trtexec's arguments.

    Args:
        onnx: the model, as trtexec sees it.
        plan: what to write, likewise.
        shapes: of the input.
        options: precision and workspace.
        major: TensorRT's version; from 11 on the precision is the graph's own and has no flag.
        quantized: the graph has QuantizeLinear nodes, for which TensorRT 10 wants a flag.
    """
    ranges = ("x".join(map(str, getattr(shapes, kind))) for kind in ("min", "opt", "max"))
    return [
        f"--onnx={onnx}",
        f"--saveEngine={plan}",
        *(f"--{kind}Shapes={shapes.name}:{shape}" for kind, shape in zip(("min", "opt", "max"), ranges, strict=True)),
        *([*FLAGS[options.precision], *(["--int8"] if quantized else [])] if major < 11 else []),
        f"--memPoolSize=workspace:{options.workspace_mb}",
        "--skipInference",
    ]


def container(onnx_folder: Path, plan_folder: Path, version: str, name: str) -> list[str]:
    """Returns the `docker run` command before `trtexec`: the model read-only, no network, files of the user's own."""
    return [
        *("docker", "run", "--rm", "--name", name, "--gpus", "all", "--network", "none"),
        *("--user", f"{os.getuid()}:{os.getgid()}"),
        *("--volume", f"{onnx_folder.resolve()}:/model:ro"),
        *("--volume", f"{plan_folder.resolve()}:/plan"),
        f"{IMAGE}:{version}-py3",
    ]


def program() -> str | None:
    """Returns what to call: the trtexec on the PATH, else the one of NVIDIA's packages, or None."""
    return "trtexec" if shutil.which("trtexec") else shutil.which(PACKAGED)


def version_of(prefix: list[str], name: str | None = None) -> str:
    """Returns TensorRT's version as trtexec's banner tells it, `10.9.0`; empty where it tells none.

    Args:
        prefix: the command to which trtexec's arguments are added.
        name: of its container, which is killed where it does not answer.
    """
    try:
        done = subprocess.run(
            [*prefix, "--help"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        if name:
            containers.kill(name)
        return ""
    return _version(done.stdout + done.stderr)


def _version(text: str) -> str:
    """`TensorRT v100900` is 10.9.0, and `v8601` was 8.6.1."""
    found = re.search(r"TensorRT v(\d+)", text)
    if found is None:
        return ""
    number = int(found[1])
    unit = 10000 if number >= 100000 else 1000
    return f"{number // unit}.{number % unit // 100}.{number % 100}"


def build(command: list[str], plan: Path, seconds: int, name: str | None = None) -> Built:
    """Runs trtexec to its end.

    Args:
        command: all of it.
        plan: what it should write.
        seconds: after which it is killed.
        name: of its container, which is killed too.

    Raises:
        BackendError: it failed, took too long, or wrote nothing.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        raise BackendError(f"{command[0]}: cannot be run ({error.strerror})") from error
    try:
        output = process.communicate(timeout=seconds)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired as error:
        raise BackendError(
            f"{command[0]}: no plan within {seconds} s, so it was ended; export.timeout=... waits longer"
        ) from error
    finally:
        _end(process, name)
    if process.returncode:
        raise BackendError(f"{command[0]}: failed with exit code {process.returncode} ({_reason(output)})")
    if not plan.is_file() or plan.stat().st_size == 0:
        raise BackendError(f"{command[0]}: ended well but wrote no plan ({_reason(output)})")
    gpu, capability = (re.search(rf"{what}: (.+)", output) for what in ("Selected Device", "Compute Capability"))
    return Built(_version(output), gpu[1].strip() if gpu else "", capability[1].strip() if capability else "")


def _end(process: subprocess.Popen[bytes], name: str | None) -> None:
    """Leaves nothing running, whatever happened."""
    if process.poll() is None and name:
        containers.kill(name)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(output: str) -> str:
    """The first error: trtexec ends whatever went wrong in `[E] Engine set up failed`."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.partition("[E] ")[2] or line for line in lines if "[E] " in line or line.startswith("docker:")]
    return (errors[:1] or lines[-1:] or ["it printed nothing"])[0][:300]
