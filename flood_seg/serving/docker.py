"""Triton in NVIDIA's container."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.config.schema import TritonConfig

IMAGE = "nvcr.io/nvidia/tritonserver"


def command(config: TritonConfig, repository: Path, identity: str, *, detach: bool) -> list[str]:
    """Returns the `docker run` command: the repository mounted read-only, ports on the host's chosen address.

    Detached, it ends when the container is running. `identity` is the name that the server reports.
    """
    ports = ((config.http_port, 8000), (config.grpc_port, 8001), (config.metrics_port, 8002))
    return [
        *("docker", "run", "--rm", "--name", config.container_name),
        *(["--detach"] if detach else []),
        *(["--gpus", "all"] if config.use_gpus else []),
        *(part for outer, inner in ports for part in ("--publish", f"{config.host}:{outer}:{inner}")),
        *("--volume", f"{repository.resolve()}:/models:ro"),
        f"{IMAGE}:{config.docker_version}-py3",
        *("tritonserver", f"--id={identity}", "--model-repository=/models", "--model-control-mode=explicit"),
        f"--load-model={config.model_name}",
        "--disable-auto-complete-config",
    ]
