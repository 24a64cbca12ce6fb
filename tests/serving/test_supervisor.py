"""The process between the command and the embedded server, with a stand-in for the server and its stub."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flood_seg.serving import supervisor
from tests.serving.conftest import STARTED, children, has_ended

# A server whose stub ignores SIGTERM, as one that waits for a lock does; it ends at SIGTERM itself unless told not to.
SERVER = """
import os, signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-S", "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"])
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in sys.argv else lambda *_: sys.exit(3))
open(sys.argv[1], "w").close()
time.sleep(60)
"""
# The command of which the server is a part: it starts the supervisor and waits.
COMMAND = """
import os, subprocess, sys
parent = str(os.getpid()) if sys.argv[1] == "attached" else "0"
words = [sys.executable, "-I", "-S", sys.argv[2], parent, "0.3", *sys.argv[3:]]
process = subprocess.Popen(words, start_new_session=True)
print(process.pid, flush=True)
process.wait()
"""


def start(folder: Path, *arguments: str, attached: str = "attached") -> tuple[subprocess.Popen, int, list[int]]:
    """Returns the command, the supervisor's process id, and those below it."""
    ready = folder / "ready"
    server = (sys.executable, "-S", "-c", SERVER, str(ready), *arguments)
    words = [sys.executable, "-S", "-c", COMMAND, attached, supervisor.__file__, *server]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    STARTED.append(process)
    supervised = int(process.stdout.readline())
    while not ready.exists() or len(children(supervised)) < 2:
        time.sleep(0.02)
    return process, supervised, children(supervised)


def test_a_killed_server_takes_its_stub_with_it(tmp_path):
    process, supervised, (server, stub) = start(tmp_path)
    os.kill(server, signal.SIGKILL)
    assert has_ended(stub, 5) and has_ended(supervised, 5)
    process.wait(5)


@pytest.mark.parametrize("deaf", [[], ["deaf"]])
def test_a_killed_command_takes_server_and_stub_with_it(deaf, tmp_path):
    process, supervised, below = start(tmp_path, *deaf)
    process.kill()
    assert all(has_ended(pid, 5) for pid in (supervised, *below))


def test_a_detached_server_outlives_its_command_and_sigterm_is_passed_on(tmp_path):
    process, supervised, below = start(tmp_path, attached="detached")
    process.kill()
    process.wait(5)
    assert not has_ended(below[0], 0.5)
    os.kill(supervised, signal.SIGTERM)
    assert all(has_ended(pid, 5) for pid in (supervised, *below))


def run(*command: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-I", "-S", supervisor.__file__, "0", "1", *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)


def test_the_exit_code_is_the_servers():
    assert run(sys.executable, "-c", "raise SystemExit(3)").returncode == 3
    assert run(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)").returncode == 128 + 9
    missing = run("/no/such/server")
    assert missing.returncode == 127 and missing.stderr == "error: /no/such/server: No such file or directory\n"


def test_a_command_that_is_gone_before_the_supervisor_is_up_ends_it():
    """The first argument is a process that is not the supervisor's parent."""
    words = [sys.executable, "-I", "-S", supervisor.__file__, str(2**31 - 1), "0.3"]
    server = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert subprocess.run([*words, *server], timeout=20, check=False).returncode == 128 + signal.SIGTERM
