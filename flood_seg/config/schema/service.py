"""The configuration of `serve` and `worker`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from flood_seg.config.schema.checks import check_choices, check_range, check_workers, closed_choices
from flood_seg.config.schema.inference import PictureOptions
from flood_seg.config.schema.model_use import InferenceUse
from flood_seg.errors import ConfigError


@dataclass
class LimitOptions:
    """What a caller may ask for at once."""

    body_mb: float
    upload_gb: float
    files: int
    concurrency: int
    waiting: int
    timeout: float
    rate: int
    connections: int

    def __post_init__(self) -> None:
        for name in ("body_mb", "upload_gb", "timeout"):
            check_range(f"serve.limits.{name}", getattr(self, name), 0, open_low=True)
        check_range("serve.limits.files", self.files, 1)
        check_workers("serve.limits.concurrency", self.concurrency)
        check_range("serve.limits.waiting", self.waiting, 0)
        check_range("serve.limits.rate", self.rate, 0)
        check_range("serve.limits.connections", self.connections, 1)


@closed_choices
@dataclass
class JobOptions:
    """Where jobs wait, who runs them, and how long they are kept."""

    queue: str
    workers: int
    attempts: int
    lease: float
    retention_days: float
    quota_gb: float
    executor: Literal["local", "ray"]
    ray_address: str

    def __post_init__(self) -> None:
        check_choices("serve.jobs", self)
        if self.queue != "sqlite" and not self.queue.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigError(f"serve.jobs.queue={self.queue}: give sqlite or redis://HOST:PORT/NUMBER")
        check_workers("serve.jobs.workers", self.workers)
        check_range("serve.jobs.attempts", self.attempts, 1)
        check_range("serve.jobs.lease", self.lease, 5)
        for name in ("retention_days", "quota_gb"):
            check_range(f"serve.jobs.{name}", getattr(self, name), 0, open_low=True)


@closed_choices
@dataclass
class SecurityOptions:
    """Who may use the service, and what it reads for them."""

    keys_file: str | None
    require_keys: Literal["auto", "true", "false"]
    data_dir: str | None
    sources: list[str]
    hosts: list[str]
    proxies: list[str]
    tls_certificate: str | None
    tls_key: str | None

    def __post_init__(self) -> None:
        # YAML reads true without quotes as a boolean, which Hydra writes as True
        self.require_keys = self.require_keys.lower()  # type: ignore[assignment]
        check_choices("serve.security", self)
        for source in self.sources:
            if not source.startswith(("s3://", "https://")) or source.count("/") < 3:
                raise ConfigError(
                    f"serve.security.sources: {source}: give a prefix such as s3://bucket/folder/ or https://host/folder/"
                )
        for proxy in self.proxies:
            try:
                ip_network(proxy)
            except ValueError as error:
                raise ConfigError(
                    f"serve.security.proxies: {proxy}: give an address or a network, 10.0.0.0/8"
                ) from error
        for host in self.hosts:
            if not host or re.search(r"[\s/*]", host):
                raise ConfigError(
                    f"serve.security.hosts: {host}: give a name without scheme and path, maps.example.org"
                )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigError("serve.security: HTTPS requires both tls_certificate and tls_key")


@closed_choices
@dataclass
class ServeOptions:
    """The service."""

    models: dict[str, str] | None
    host: str
    port: int
    work_dir: str
    base_map: str | None
    log: Literal["text", "json"]
    drain: float
    stop_timeout: float
    limits: LimitOptions
    jobs: JobOptions
    security: SecurityOptions

    def __post_init__(self) -> None:
        check_range("serve.port", self.port, 0, 65535)
        check_choices("serve", self)
        check_range("serve.drain", self.drain, 0)
        check_range("serve.stop_timeout", self.stop_timeout, 0)
        for name in self.models or {}:
            if not name.isidentifier():
                raise ConfigError(f"serve.models: {name}: names of models consist of letters, digits and underscores")


@dataclass
class ServeConfig(InferenceUse):
    """The whole of `flood-seg serve` and `flood-seg worker`."""

    serve: ServeOptions
    output: PictureOptions
