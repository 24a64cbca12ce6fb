"""Starts a Triton server, waits until it is ready, monitors it and stops it, in a container or embedded."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flood_seg import containers
from flood_seg.errors import ServerError
from flood_seg.files import write_json
from flood_seg.serving import docker, embedded
from flood_seg.serving.processes import command_line, find, group_of, is_running

if TYPE_CHECKING:
    from flood_seg.config.schema import TritonConfig

POLL = 0.05  # seconds
# What a log says of a failure, the most specific first.
REASONS = (
    r"failed to load '.*?' version \d+: (?:Internal: )?(.*?)(?:\\n|\"?$)",
    r"^(?:error|docker): (.*)",
    r"^E\d+ .*?\] (.*)",
)


@dataclass
class Server:
    """A Triton server that was started.

    Attributes:
        config: of the server.
        runtime: `docker` or `embedded`.
        process: the server itself, or `docker run`.
        log: the file of its output.
        identity: the name that its HTTP interface reports, unique to this start.
        record: the file by which `--stop` finds it and marks it as stopped.
    """

    config: TritonConfig
    runtime: str
    process: subprocess.Popen[bytes]
    log: Path
    identity: str
    record: Path


def start(triton: TritonConfig, runtime: str, root: Path, detach: bool) -> Server:
    """Starts a server on the repository `root`; see `wait_until_ready`."""
    log = root / f"{triton.container_name}.log"
    identity = f"{triton.container_name}-{secrets.token_hex(4)}"
    command = (docker if runtime == "docker" else embedded).command(triton, root, identity, detach=detach)
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=None if runtime == "docker" else embedded.environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which stops the server
        )
    server = Server(triton, runtime, process, log, identity, record_of(triton))
    write_json(server.record, {"runtime": runtime, "pid": process.pid, "identity": identity})
    return server


def wait_until_ready(server: Server) -> None:
    """Returns when the server's model is ready.

    Raises:
        ServerError: the server has ended, takes too long, or another server answers at its port.
    """
    triton = server.config
    end = time.monotonic() + triton.start_timeout
    while not _is_ready(server):
        if _has_ended(server):
            raise ServerError(f"Triton did not start: {_reason(server)}; its log is {server.log}")
        if time.monotonic() > end:
            raise ServerError(
                f"Triton did not start within {triton.start_timeout} s ({_reason(server)}); its log is {server.log}; "
                "triton.start_timeout=... waits longer"
            )
        time.sleep(POLL)


def _is_ready(server: Server) -> bool:
    triton = server.config
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(triton.host, triton.host)
    url = f"http://{host}:{triton.http_port}/v2"
    try:
        with urllib.request.urlopen(f"{url}/models/{triton.model_name}/ready", timeout=2) as answer:
            ready = bool(answer.status == 200)
        with urllib.request.urlopen(url, timeout=2) as answer:
            name = json.load(answer)["name"]
    except (OSError, ValueError, LookupError, TypeError, HTTPException):
        return False
    if name != server.identity:  # started at the same time: it has the port
        raise ServerError(f"{triton.host}:{triton.http_port}: another Triton server answers there; give --http-port")
    return ready


def _has_ended(server: Server) -> bool:
    code = server.process.poll()
    if code == 0 and server.runtime == "docker":  # a detached `docker run` ends when the container is up
        return containers.state(server.config.container_name) is None
    return code is not None


def _reason(server: Server) -> str:
    """Returns the line of the log that says why."""
    text = server.log.read_text(encoding="utf-8", errors="replace") if server.log.is_file() else ""
    if server.runtime == "docker" and server.process.poll() == 0:
        text += containers.logs(server.config.container_name)
    for pattern in REASONS:
        if found := re.search(pattern, text, re.MULTILINE):
            return found[1].strip()[:300]
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it printed nothing"


def wait_until_ended(server: Server) -> NoReturn:
    """Blocks while the server runs.

    Raises:
        ServerError: the server has ended by itself.
    """
    code = server.process.wait()
    how = f"killed by {signal.Signals(code - 128).name}" if 128 < code < 160 else f"exit code {code}"
    raise ServerError(f"Triton ended by itself ({how}: {_reason(server)}); its log is {server.log}")


def stop(server: Server) -> None:
    """Stops a server, by SIGKILL if it must, and removes its record."""
    if server.runtime == "docker":
        containers.stop(server.config.container_name, server.config.stop_timeout)
    terminate(server.process.pid, server.config.stop_timeout)
    server.process.wait()
    if _read(server.record).get("pid") == server.process.pid:  # a new server of this name may have been started
        server.record.unlink(missing_ok=True)


def terminate(pid: int, seconds: int) -> bool:
    """Ends a process group: SIGTERM to its leader, SIGKILL to the rest after some seconds.

    Returns:
        whether the leader ended in time.
    """
    _signal(os.kill, pid, signal.SIGTERM)
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(POLL)
    in_time = not is_running(pid)
    _signal(os.killpg, pid, signal.SIGKILL)
    return in_time


def _signal(send: Any, pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        send(pid, number)


def sweep(record: Path) -> list[int] | None:
    """Kills the remaining processes of a server that was killed together with its supervisor; removes its record.

    Returns:
        their process ids; None where the record names no server, or one that is running.
    """
    server = _read_embedded(record)
    if server is None or running(record):
        return None
    # A group's id is not reused while it has members; where a process has it, the group is another program's.
    servers = [] if is_running(server["pid"]) else find(embedded.STUB, embedded.SERVER)
    left = [pid for pid in servers if group_of(pid) == server["pid"]]
    for pid in left:
        _signal(os.kill, pid, signal.SIGKILL)
    record.unlink(missing_ok=True)
    return left


def record_of(triton: TritonConfig) -> Path:
    """Returns the path of the record of the server of that name."""
    return Path(triton.repository) / f"{triton.container_name}.json"


def running(record: Path) -> int | None:
    """Returns the process id of the embedded server that a record names, if it is still running."""
    server = _read_embedded(record)
    if server is None or f"{embedded.IDENTITY}{server['identity']}" not in command_line(server["pid"]):
        return None  # the process id may be another program's by now
    return int(server["pid"])


def mark_stopped(record: Path) -> None:
    """Notes for the command that waits for the server in another terminal that `--stop` stopped it."""
    if content := _read(record):
        write_json(record, content | {"stopped": True})


def was_stopped(server: Server) -> bool:
    """Whether `--stop` has stopped the server; it removes the record in the end."""
    return bool(_read(server.record).get("stopped", not server.record.exists()))


def elsewhere(triton: TritonConfig) -> list[str]:
    """Returns where embedded servers of the same name run from other repositories."""
    own, found = Path(triton.repository).resolve(), []
    for words in find(embedded.SERVER).values():
        roots = (word.removeprefix(embedded.REPOSITORY) for word in words if word.startswith(embedded.REPOSITORY))
        root = Path(next(roots, own))
        if root != own and (pid := running(root / record_of(triton).name)):
            found.append(f"triton.repository={root} (process {pid})")
    return found


def _read_embedded(record: Path) -> dict[str, Any] | None:
    """Returns the process of an embedded server from its record; Docker finds its containers by name."""
    content = _read(record)
    valid = content.get("runtime") == "embedded" and isinstance(content.get("pid"), int) and "identity" in content
    return content if valid else None


def _read(record: Path) -> dict[str, Any]:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
