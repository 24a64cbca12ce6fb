"""A Triton server's life: started, waited for, watched, ended; whichever way it runs."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flood_seg import containers
from flood_seg.errors import ServerError
from flood_seg.imaging.write import write_json
from flood_seg.serving import docker, embedded

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from flood_seg.schema import TritonConfig

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
        record: the file by which `--stop` finds it.
    """

    config: TritonConfig
    runtime: str
    process: subprocess.Popen[bytes]
    log: Path
    record: Path


def start(triton: TritonConfig, runtime: str, root: Path, detach: bool) -> Server:
    """Starts a server on the repository `root`; see `wait_until_ready`."""
    log = root / f"{triton.container_name}.log"
    process = (docker if runtime == "docker" else embedded).start(triton, root, log, detach=detach)
    server = Server(triton, runtime, process, log, record_of(triton))
    if runtime == "embedded":
        write_json(server.record, {"pid": process.pid, "started": _start_time(process.pid)})
    return server


def wait_until_ready(server: Server) -> None:
    """Returns when the server's model answers.

    Raises:
        ServerError: it has ended, or takes too long.
    """
    triton = server.config
    end = time.monotonic() + triton.start_timeout
    while not _is_ready(triton):
        if _has_ended(server):
            raise ServerError(f"Triton did not come up: {_reason(server)}; its log is {server.log}")
        if time.monotonic() > end:
            raise ServerError(
                f"Triton did not come up within {triton.start_timeout} s ({_reason(server)}); its log is {server.log}; "
                "triton.start_timeout=... waits longer"
            )
        time.sleep(POLL)


def _is_ready(triton: TritonConfig) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(triton.host, triton.host)
    url = f"http://{host}:{triton.http_port}/v2/models/{triton.model_name}/ready"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


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
    raise ServerError(f"Triton ended by itself (exit code {code}: {_reason(server)}); its log is {server.log}")


def stop(server: Server) -> None:
    """Ends a server, at worst by SIGKILL, and forgets it."""
    if server.runtime == "docker":
        containers.stop(server.config.container_name, server.config.stop_timeout)
    terminate(server.process.pid, server.config.stop_timeout)
    server.process.wait()
    server.record.unlink(missing_ok=True)


def terminate(pid: int, seconds: int) -> None:
    """Ends a process group: SIGTERM to its leader, SIGKILL to what is left of it after some seconds."""
    _signal(os.kill, pid, signal.SIGTERM)
    end = time.monotonic() + seconds
    while _start_time(pid) is not None and time.monotonic() < end:
        time.sleep(POLL)
    _signal(os.killpg, pid, signal.SIGKILL)


def _signal(send: Any, pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        send(pid, number)


def sweep(record: Path) -> None:
    """Ends what a server left that was killed: its stubs outlive it, in its process group."""
    told = _told(record)
    if told and not running(record):
        _signal(os.killpg, int(told["pid"]), signal.SIGKILL)
        record.unlink(missing_ok=True)


def record_of(triton: TritonConfig) -> Path:
    """Returns the file that tells of the embedded server of that name."""
    return Path(triton.repository) / f"{triton.container_name}.json"


def running(record: Path) -> int | None:
    """Returns the process id of the server that a record tells of, if it still runs."""
    told = _told(record)
    return int(told["pid"]) if told and _start_time(int(told["pid"])) == told["started"] else None


def _told(record: Path) -> dict[str, int] | None:
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
        return {key: int(told[key]) for key in ("pid", "started")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _start_time(pid: int) -> int | None:
    """Returns when a process began, in clock ticks since boot; None where it has ended. Tells a number given anew."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
