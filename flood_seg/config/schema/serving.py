"""What `triton-server` may be told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from flood_seg.config.schema.checks import check_choice, check_range
from flood_seg.errors import ConfigError


@dataclass
class TritonConfig:
    """The Triton server of `flood-seg triton-server`."""

    runtime: str = "auto"
    repository: str = "triton_model_repository"
    model_name: str = "flood_area_segmentation"
    container_name: str = "flood_seg_triton"
    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    docker_version: str = "24.10"
    use_gpus: bool = False
    max_batch_size: int = 8
    queue_delay_us: int = 2000
    instances: int = 1
    start_timeout: int = 120
    stop_timeout: int = 20

    def __post_init__(self) -> None:
        check_choice("triton.runtime", self.runtime, ("auto", "docker", "embedded"))
        for name in ("http_port", "grpc_port", "metrics_port"):
            check_range(f"triton.{name}", getattr(self, name), 1, 65535)
        for name in ("max_batch_size", "instances", "start_timeout", "stop_timeout"):
            check_range(f"triton.{name}", getattr(self, name), 1)
        check_range("triton.queue_delay_us", self.queue_delay_us, 0)
        for name in ("model_name", "container_name"):
            value = getattr(self, name)
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
                raise ConfigError(f"triton.{name}={value}: letters, digits, '_', '.' and '-' alone, a letter first")


@dataclass
class TritonServerConfig:
    """The whole of `flood-seg triton-server`."""

    backend: dict[str, Any] = field(default_factory=dict)
    triton: TritonConfig = field(default_factory=TritonConfig)
    output_dir: str = "outputs"
