"""The configuration of `triton-server`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from flood_seg.config.schema.checks import check_range
from flood_seg.config.schema.fields import check_choices, closed_choices
from flood_seg.errors import ConfigError


@closed_choices
@dataclass
class TritonConfig:
    """The Triton server of `flood-seg triton-server`."""

    runtime: Literal["auto", "docker", "embedded"]
    repository: str
    model_name: str
    container_name: str
    host: str
    http_port: int
    grpc_port: int
    metrics_port: int
    docker_version: str
    use_gpus: bool
    max_batch_size: int
    queue_delay_us: int
    instances: int
    start_timeout: int
    stop_timeout: int

    def __post_init__(self) -> None:
        check_choices("triton", self)
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

    backend: dict[str, Any]
    triton: TritonConfig
    output_dir: str
