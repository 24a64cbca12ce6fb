"""The process of one step of a job: `python -m flood_seg.service.jobs.child PARENT WORDS...`.

The words are those of `flood-seg`, which runs in this process, or a step that is no verb. It ends when the worker that
has started it ends, in whatever way: no step runs on unnoticed beside the one that another worker has begun anew.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Runs a step; returns the exit code of one that is no verb."""
    parent, words = int(arguments[0]), arguments[1:]
    _end_with(parent)
    if words[0] != "truth":
        sys.argv = ["flood-seg", *words]
        runpy.run_module("flood_seg", run_name="__main__", alter_sys=True)
        return 0
    return _compare(*map(Path, words[1:]))


def _end_with(parent: int) -> None:
    """Makes the system end this process with its parent; where it cannot, two may run, each in a folder of its own."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it had ended before
            os.kill(os.getpid(), signal.SIGKILL)


def _compare(results: Path, truth: Path) -> int:
    from flood_seg.analysis.comparison.truth import compare_with_truth
    from flood_seg.console import fail, say
    from flood_seg.errors import FloodSegError

    try:
        record = compare_with_truth(results, truth)
    except FloodSegError as error:
        fail(str(error))
        return error.exit_code
    say(f"{results}: IoU {record['iou']:.4f} with {truth.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
