"""A Triton server's life: started, waited for, watched, ended; whichever way it runs."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flood_seg import containers
from flood_seg.errors import ServerError
from flood_seg.files import write_json
from flood_seg.serving import docker, embedded
from flood_seg.serving.processes import called, command_line, members, start_time

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from flood_seg.config.schema import TritonConfig

POLL = 0.05  # seconds
# What a log says of a failure, the most telling first.
REASONS = (
    r"failed to load '.*?' version \d+: (?:Internal: )?(.*?)(?:\\n|\"?$)",
    r"^(?:error|docker): (.*)",
    r"^E\d+ .*?\] (.*)",
)


@dataclass
class Server:
    """A Triton server that was started.

    Attributes:
        config: how.
        runtime: `docker` or `embedded`.
        process: the server itself, or `docker run`.
        log: what it prints.
        identity: the name by which it answers, another one for each start.
        record: the file by which `--stop` finds it, and tells it that it was stopped.
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
    process = (docker if runtime == "docker" else embedded).start(triton, root, log, identity, detach=detach)
    server = Server(triton, runtime, process, log, identity, record_of(triton))
    write_json(server.record, {"runtime": runtime, "pid": process.pid, "started": start_time(process.pid)})
    return server


def wait_until_ready(server: Server) -> None:
    """Returns when the server's model answers.

    Raises:
        ServerError: it has ended, takes too long, or another server answers at its port.
    """
    triton = server.config
    end = time.monotonic() + triton.start_timeout
    while not _is_ready(server):
        if _has_ended(server):
            raise ServerError(f"Triton did not come up: {_reason(server)}; its log is {server.log}")
        if time.monotonic() > end:
            raise ServerError(
                f"Triton did not come up within {triton.start_timeout} s ({_reason(server)}); its log is {server.log}; "
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
    if name != server.identity:  # it was started at the same time, and ours cannot have the port
        raise ServerError(f"{triton.host}:{triton.http_port}: another Triton server answers there; give --http-port")
    return ready


def _has_ended(server: Server) -> bool:
    code = server.process.poll()
    if code == 0 and server.runtime == "docker":  # a detached `docker run` ends when the container is up
        return containers.state(server.config.container_name) is None
    return code is not None


def _reason(server: Server) -> str:
    """Picks the line of the log that says why."""
    text = server.log.read_text(encoding="utf-8", errors="replace") if server.log.is_file() else ""
    if server.runtime == "docker" and server.process.poll() == 0:
        text += containers.logs(server.config.container_name)
    for pattern in REASONS:
        if found := re.search(pattern, text, re.MULTILINE):
            return found[1].strip()[:300]
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it printed nothing"


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Makes SIGTERM end the body as Ctrl-C does."""

    def told(*_: Any) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def wait_until_ended(server: Server) -> NoReturn:
    """Waits for what should not happen.

    Raises:
        ServerError: the server has ended by itself.
    """
    code = server.process.wait()
    how = f"killed by {signal.Signals(code - 128).name}" if 128 < code < 160 else f"exit code {code}"
    raise ServerError(f"Triton ended by itself ({how}: {_reason(server)}); its log is {server.log}")


def stop(server: Server) -> None:
    """Ends a server, at worst by SIGKILL, and forgets it."""
    if server.runtime == "docker":
        containers.stop(server.config.container_name, server.config.stop_timeout)
    terminate(server.process.pid, server.config.stop_timeout)
    server.process.wait()
    if _read(server.record).get("pid") == server.process.pid:  # a new one of that name may have been started
        server.record.unlink(missing_ok=True)


def terminate(pid: int, seconds: int) -> bool:
    """Ends a process group: SIGTERM to its leader, SIGKILL to what is left of it after some seconds.

    Returns:
        whether the leader ended in time.
    """
    _signal(os.kill, pid, signal.SIGTERM)
    end = time.monotonic() + seconds
    while start_time(pid) is not None and time.monotonic() < end:
        time.sleep(POLL)
    in_time = start_time(pid) is None
    _signal(os.killpg, pid, signal.SIGKILL)
    return in_time


def _signal(send: Any, pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        send(pid, number)


def sweep(record: Path) -> list[int] | None:
    """Ends what a server left that was killed together with its supervisor, and forgets the server.

    Returns:
        the process ids; None where the record tells of no server, or of one that runs.
    """
    told = _told(record)
    if told is None or running(record):
        return None
    # While a group has members its number is not given anew; where a process has it, the group is somebody else's.
    group = [] if start_time(told["pid"]) is not None else members(told["pid"])
    left = [pid for pid in group if Path(command_line(pid)[0]).name in (embedded.STUB, embedded.SERVER)]
    for pid in left:
        _signal(os.kill, pid, signal.SIGKILL)
    record.unlink(missing_ok=True)
    return left


def record_of(triton: TritonConfig) -> Path:
    """Returns the file that tells of the server of that name."""
    return Path(triton.repository) / f"{triton.container_name}.json"


def running(record: Path) -> int | None:
    """Returns the process id of the embedded server that a record tells of, if it still runs."""
    told = _told(record)
    return told["pid"] if told and start_time(told["pid"]) == told["started"] else None


def mark_stopped(record: Path) -> None:
    """Tells the command that waits for the server in another terminal that `--stop` ends it."""
    if told := _read(record):
        write_json(record, told | {"stopped": True})


def was_stopped(server: Server) -> bool:
    """Whether `--stop` has ended the server, which forgets it in the end."""
    return bool(_read(server.record).get("stopped", not server.record.exists()))


def elsewhere(triton: TritonConfig) -> list[str]:
    """Finds embedded servers of the same name that run from other repositories, and says where."""
    own, found = Path(triton.repository).resolve(), []
    for words in called(embedded.SERVER):
        roots = (word.removeprefix(embedded.REPOSITORY) for word in words if word.startswith(embedded.REPOSITORY))
        root = Path(next(roots, own))
        if root != own and (pid := running(root / record_of(triton).name)):
            found.append(f"triton.repository={root} (process {pid})")
    return found


def _told(record: Path) -> dict[str, int] | None:
    """Returns what a record says of an embedded server; Docker knows its containers by name."""
    told = _read(record)
    try:
        return {key: int(told[key]) for key in ("pid", "started")} if told["runtime"] == "embedded" else None
    except (ValueError, KeyError, TypeError):
        return None


def _read(record: Path) -> dict[str, Any]:
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
