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
from flood_seg.errors import BackendError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flood_seg.config.schema import TensorRtExport

IMAGE = "nvcr.io/nvidia/tensorrt"
# Where NVIDIA's packages install the program, which is on no PATH.
PACKAGED = "/usr/src/tensorrt/bin/trtexec"
VERSION_TIMEOUT_SECONDS = 60
FLAGS = {"float16": ["--fp16"], "bfloat16": ["--bf16"], "float32": []}


@dataclass(frozen=True)
class Shapes:
    """The input's shapes that a plan is built for, [batch, bands, height, width] each.

    Attributes:
        name: of the input tensor.
        min: the smallest.
        opt: the one to optimize for.
        max: the largest.
    """

    name: str
    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]


@dataclass(frozen=True)
class Built:
    """What a builder reports of the plan; empty strings are unknown.

    Attributes:
        tensorrt_version: `major.minor.patch`.
        gpu: its name.
        compute_capability: of the GPU, `9.0` for example.
    """

    tensorrt_version: str = ""
    gpu: str = ""
    compute_capability: str = ""


def arguments(
    onnx: Path | str, plan: Path | str, shapes: Shapes, options: TensorRtExport, major: int, quantized: bool = False
) -> list[str]:
    """Returns trtexec's arguments, for the two files as it sees them.

    From major version 11 on the precision is the graph's own and has no flag; TensorRT 10 requires one for a graph with
    QuantizeLinear nodes (`quantized`), too.
    """
    ranges = {"min": shapes.min, "opt": shapes.opt, "max": shapes.max}
    return [
        f"--onnx={onnx}",
        f"--saveEngine={plan}",
        *(f"--{kind}Shapes={shapes.name}:{'x'.join(map(str, shape))}" for kind, shape in ranges.items()),
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
    """Returns the trtexec on the PATH, else the one of NVIDIA's packages, else None."""
    return "trtexec" if shutil.which("trtexec") else shutil.which(PACKAGED)


def version_of(prefix: list[str], name: str | None = None) -> str:
    """Returns TensorRT's version according to trtexec's banner, `10.9.0`; empty where there is none.

    `name` is that of its container, which is killed if it does not answer.
    """
    try:
        done = subprocess.run(
            [*prefix, "--help"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=VERSION_TIMEOUT_SECONDS, check=False,
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


def build(command: list[str], source: Path, plan: Path, seconds: int, name: str | None = None) -> Built:
    """Runs trtexec to its end, or kills it after some seconds, and the container `name` with it.

    `source` is the model that the user gave, for messages.

    Raises:
        ModelError: TensorRT cannot parse the model, for example an operator that it does not support.
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
            f"{command[0]}: no plan within {seconds} s, so it was stopped; export.timeout=... waits longer"
        ) from error
    finally:
        _end(process, name)
    if process.returncode and (operators := re.findall(r"While parsing node number \d+ \[(\w+)", output)):
        raise unsupported(source, operators, _reason(output))
    if process.returncode:
        raise BackendError(f"{command[0]}: failed with exit code {process.returncode} ({_reason(output)})")
    if not plan.is_file() or plan.stat().st_size == 0:
        raise BackendError(f"{command[0]}: succeeded but wrote no plan ({_reason(output)})")
    gpu, capability = (re.search(rf"{what}: (.+)", output) for what in ("Selected Device", "Compute Capability"))
    return Built(_version(output), gpu[1].strip() if gpu else "", capability[1].strip() if capability else "")


def unsupported(source: Path, operators: Sequence[str], reason: str) -> ModelError:
    """Returns the error of a model that TensorRT's parser refuses, for those operators where they are known."""
    names = sorted({operator for operator in operators if operator})
    what = f"does not support {', '.join(names)}" if names else "cannot parse it"
    return ModelError(f"{source}: TensorRT {what} ({reason[:300]}); export another architecture")


def _end(process: subprocess.Popen[bytes], name: str | None) -> None:
    """Leaves nothing running, whatever happened."""
    if process.poll() is None and name:
        containers.kill(name)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(output: str) -> str:
    """Returns the first error: trtexec ends every failure with `[E] Engine set up failed`."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.partition("[E] ")[2] or line for line in lines if "[E] " in line or line.startswith("docker:")]
    return (errors[:1] or lines[-1:] or ["it printed nothing"])[0][:300]
