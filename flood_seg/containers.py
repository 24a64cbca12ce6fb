"""The Docker commands in use: whether the daemon responds, images, and containers by name."""

from __future__ import annotations

import shutil
import subprocess

from flood_seg.console import say
from flood_seg.errors import ServerError

PATIENCE = 30  # seconds that a command may take


def is_available() -> bool:
    """Whether there is a `docker` command whose engine answers."""
    return shutil.which("docker") is not None and _ask("info", "--format", "{{.ServerVersion}}")[0] == 0


def ensure_image(image: str) -> None:
    """Pulls an image that is not here, with Docker's own progress on the terminal.

    Raises:
        ServerError: it is unavailable.
    """
    if _ask("image", "inspect", image)[0] == 0:
        return
    say(f"{image}: pulling; this takes a while")
    if subprocess.run(["docker", "pull", image], stdin=subprocess.DEVNULL, check=False).returncode:
        raise ServerError(f"{image}: docker cannot pull it; see the lines above, and the version that was asked for")


def state(name: str) -> str | None:
    """Returns what Docker says of the container of that name (`running`, `exited`), or None where there is none.

    Raises:
        ServerError: Docker's engine does not answer.
    """
    code, text = _ask("ps", "--all", "--filter", f"name=^/?{name}$", "--format", "{{.State}}")
    if code:
        raise ServerError(f"docker ps: {text}; see whether Docker's engine runs")
    return text or None


def logs(name: str) -> str:
    """Returns what the container has printed."""
    return _ask("logs", "--tail", "200", name, first_line=False)[1]


def stop(name: str, seconds: int) -> None:
    """Stops the container: SIGTERM, and SIGKILL after some seconds.

    Raises:
        ServerError: Docker does not.
    """
    code, text = _ask("stop", "--time", str(min(seconds, PATIENCE - 5)), name)
    if code and "No such container" not in text:
        raise ServerError(f"{name}: docker stop failed ({text})")


def kill(name: str) -> None:
    """Ends the container at once, if there is one."""
    _ask("kill", name)


def _ask(*arguments: str, first_line: bool = True) -> tuple[int, str]:
    """Returns the exit code and what was printed, of a failure on stderr."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    text = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip()
    return done.returncode, text.partition("\n")[0] if first_line else text
