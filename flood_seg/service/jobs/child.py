"""The process of one step of a job: `python -m flood_seg.service.jobs.child PARENT WORDS...`.

The words are those of `flood-seg`, which runs in this process, or those of a step that is no verb. It ends when the
worker that has started it ends, in whatever way: no step runs on beside the one that another worker has begun anew.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Runs a step; returns the exit code of one that is no verb."""
    parent, words = int(arguments[0]), arguments[1:]
    _end_with(parent)
    if words[0] in _STEPS:
        return _run(_STEPS[words[0]], words[1:])
    sys.argv = ["flood-seg", *words]
    runpy.run_module("flood_seg", run_name="__main__", alter_sys=True)
    return 0


def _end_with(parent: int) -> None:
    """Makes the system end this process with its parent; where it cannot, two may run, each in a folder of its own."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it had ended before
            os.kill(os.getpid(), signal.SIGKILL)


def _run(step: Callable[..., str], words: list[str]) -> int:
    from flood_seg.console import fail, say
    from flood_seg.errors import FloodSegError
    from flood_seg.service.problems import Problem

    try:
        say(step(*words))
    except (FloodSegError, Problem) as error:
        fail(str(error))
        return 2
    return 0


def _truth(results: str, truth: str) -> str:
    from flood_seg.analysis.comparison.truth import compare_with_truth

    record = compare_with_truth(Path(results), Path(truth))
    return f"{results}: IoU {record['iou']:.4f} with {record['truth']}"


def _fetch(targets: str, limits: str) -> str:
    """Fetches addresses, JSON of an address by its target; `limits`: JSON of the sources and of the bytes of each."""
    from flood_seg.service.security.fetch import fetch
    from flood_seg.service.security.inputs import check_file

    wanted, (sources, most_bytes) = json.loads(targets), json.loads(limits)
    for target, address in wanted.items():
        if not Path(target).is_file():  # of an earlier attempt
            fetch(address, Path(target), sources, most_bytes)
        check_file(Path(target))
    return f"Fetched {', '.join(wanted)}"


_STEPS: dict[str, Callable[..., str]] = {"truth": _truth, "fetch": _fetch}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
