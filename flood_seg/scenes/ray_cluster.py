"""The connection to a Ray cluster, or one that is started on this machine; without Ray's own output."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any

from flood_seg.errors import ConfigError, ServerError
from flood_seg.resources import cores

CONNECT_SECONDS, ANSWER_SECONDS = 5, 60
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


def check_address(address: str | None) -> None:
    """Raises ConfigError where an address is not None, `auto` or `HOST:PORT`."""
    if address in (None, "auto"):
        return
    host, _, port = str(address).rpartition(":")
    if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"executor.address={address}: give HOST:PORT of the cluster's head, auto or local")


def connect(address: str | None) -> Any:
    """Connects this process to a cluster and returns the module `ray`.

    Args:
        address: `HOST:PORT`, `auto` for the cluster that this machine is a node of, or None to start one here.

    Raises:
        ServerError: it does not respond, or refuses this process.
        ModuleNotFoundError: Ray is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None and "ray" not in sys.modules:  # which reads these once
        # Ray's servers listen on all addresses. A cluster of our own therefore asks for a token in each request.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    if address is not None:
        _check_reachable(address)
    with suppress(AttributeError):  # prints a paragraph on stdout where a worker ends; we report it in a line
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
    try:
        if address is None:
            ray.init("local", num_cpus=cores(), include_dashboard=False, _node_ip_address=_loopback(), **QUIET)
        else:
            ray.init(address, **QUIET)
    except (ConnectionError, RuntimeError, ValueError, OSError, SystemExit) as error:
        what = "this machine cannot start a Ray cluster" if address is None else f"executor.address={address}"
        raise ServerError(f"{what}: {_first_words(error)}") from error
    return ray


def _loopback() -> str:
    """Returns the address that the processes of our own cluster have; Ray replaces 127.0.0.1 by the network's."""
    return "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"


def _check_reachable(address: str) -> None:
    """Asks the cluster in a process of its own: `ray.init` tries for minutes, and then ends the process itself."""
    host, _, port = address.rpartition(":")
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    if address == "auto":
        if _succeeds(command):
            return
        raise ServerError("executor.address=auto: this machine is not a node of a running Ray cluster; give HOST:PORT")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ServerError(f"executor.address={address}: cannot be reached ({error})") from error
    if not _succeeds([*command, "--address", address]):
        raise ServerError(
            f"executor.address={address}: is not the head of a Ray cluster, or of another version of Ray, or requires "
            "a token (RAY_AUTH_TOKEN)"
        )


def _succeeds(command: list[str]) -> bool:
    with suppress(subprocess.TimeoutExpired):
        return not subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False).returncode
    return False


def _first_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
