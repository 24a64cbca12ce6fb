"""How many processors there are to work on."""

from __future__ import annotations

import os

# Threads or processes that may be asked for: no gain in more than some a core, and the machine ends in many thousands.
LEAST_BOUND, A_CORE = 256, 4


def most_workers() -> int:
    """Returns how many threads or processes may be asked for."""
    return max(LEAST_BOUND, A_CORE * (os.cpu_count() or 1))


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
