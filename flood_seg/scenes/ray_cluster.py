"""The connection to a Ray cluster, or one that is started on this machine; without Ray's own output."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from flood_seg.errors import ConfigError, ServerError
from flood_seg.resources import cores

CONNECT_SECONDS, ANSWER_SECONDS = 5, 60
MODE = "RAY_AUTH_MODE"
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
    if find_spec("ray") is None:
        raise ModuleNotFoundError(name="ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is not None:
        _check_reachable(address)
    elif "ray" not in sys.modules:  # which reads these once
        # Ray's servers listen on all addresses. A cluster of our own therefore asks for a token in each request.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    with suppress(AttributeError):  # prints a paragraph on stdout where a worker ends; we report it in a line
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
    try:
        if address is None:
            ray.init("local", num_cpus=cores(), include_dashboard=False, _node_ip_address=_loopback(), **QUIET)
        else:
            ray.init(address, **QUIET)
    except (ConnectionError, RuntimeError, ValueError, OSError, SystemExit) as error:
        what = "this machine cannot start a Ray cluster" if address is None else f"executor.address={address}"
        advice = "; install the same versions on all machines" if "Version mismatch" in str(error) else ""
        raise ServerError(f"{what}: {_first_words(error)}{advice}") from error
    return ray


def _loopback() -> str:
    """Returns the address that the processes of our own cluster have; Ray replaces 127.0.0.1 by the network's."""
    return "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"


def _check_reachable(address: str) -> None:
    """Asks the cluster in a process of its own: `ray.init` tries for minutes, and then ends the process itself.

    Sets RAY_AUTH_MODE=token where the cluster requires a token, this machine has it, and the mode is not set.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            raise ServerError(f"executor.address={address}: cannot be reached ({error})") from error
    fault = _health(address)
    if "AuthenticationError" in fault and MODE not in os.environ and not (fault := _health(address, **{MODE: "token"})):
        os.environ[MODE] = "token"
    if not fault:
        return
    if "AuthenticationError" in fault or "authentication_token" in fault:
        which = "another token" if os.environ.get(MODE) == "token" and "AuthenticationError" in fault else "a token"
        raise ServerError(
            f"executor.address={address}: the cluster requires {which}; set {MODE}=token, and RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH, as on its nodes"
        )
    if address == "auto":
        raise ServerError("executor.address=auto: this machine is not a node of a running Ray cluster; give HOST:PORT")
    raise ServerError(f"executor.address={address}: is not the head of a Ray cluster that this version of Ray can use")


def _health(address: str, **environment: str) -> str:
    """Returns what Ray says of a cluster that does not respond as it should, or an empty string."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--skip-version-check"]  # ray.init does it
    command += [] if address == "auto" else ["--address", address]
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False, env=os.environ | environment
        )
        return done.stderr.strip() or "unknown" if done.returncode else ""
    return "no answer"


def _first_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
