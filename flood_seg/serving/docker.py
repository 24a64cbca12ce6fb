"""Triton in NVIDIA's container."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from flood_seg.errors import ServerError
from flood_seg.inference.backends.contract import first_line

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.schema import TritonConfig

IMAGE = "nvcr.io/nvidia/tritonserver"
PATIENCE = 30  # seconds that a question to Docker's engine may take


def is_available() -> bool:
    """Whether there is a `docker` command whose engine answers."""
    return shutil.which("docker") is not None and _ask("info", "--format", "{{.ServerVersion}}")[0] == 0


def _ask(*arguments: str) -> tuple[int, str]:
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip()


def command(config: TritonConfig, repository: Path, *, detach: bool) -> list[str]:
    """Returns the `docker run` command: the repository mounted read-only, ports on the host's chosen address."""
    ports = ((config.http_port, 8000), (config.grpc_port, 8001), (config.metrics_port, 8002))
    return [
        *("docker", "run", "--rm", "--name", config.container_name),
        *(["--detach"] if detach else []),
        *(["--gpus", "all"] if config.use_gpus else []),
        *(part for outer, inner in ports for part in ("--publish", f"{config.host}:{outer}:{inner}")),
        *("--volume", f"{repository.resolve()}:/models:ro"),
        f"{IMAGE}:{config.docker_version}-py3",
        *("tritonserver", "--model-repository=/models", "--model-control-mode=explicit"),
        f"--load-model={config.model_name}",
        "--disable-auto-complete-config",
    ]


def state(name: str) -> str | None:
    """Returns what Docker says of the container of that name (`running`, `exited`), or None where there is none."""
    code, text = _ask("ps", "--all", "--filter", f"name=^/?{name}$", "--format", "{{.State}}")
    if code:
        raise ServerError(f"docker ps: {first_line(text)}; see whether Docker's engine runs")
    return text.splitlines()[0] if text else None


def start(config: TritonConfig, repository: Path, log: Path, *, detach: bool) -> subprocess.Popen[bytes]:
    """Starts the container; attached, the process is `docker run`, else it has ended when the container is up."""
    with log.open("wb") as file:
        return subprocess.Popen(
            command(config, repository, detach=detach),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who stop the container
        )


def logs(name: str) -> str:
    """Returns what the container has printed."""
    return _ask("logs", "--tail", "200", name)[1]


def stop(name: str, seconds: int) -> None:
    """Stops the container: SIGTERM, and SIGKILL after some seconds.

    Raises:
        ServerError: Docker does not.
    """
    code, text = _ask("stop", "--time", str(min(seconds, PATIENCE - 5)), name)
    if code and "No such container" not in text:
        raise ServerError(f"{name}: docker stop failed ({first_line(text)})")
