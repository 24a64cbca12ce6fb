"""Files that can be read to their end."""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def regular(path: Path) -> Path:
    """Returns `path`, of a file that can be opened without waiting for somebody and that has an end.

    Raises:
        OSError: it is missing, or a pipe, a socket or a device.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a folder fails by itself
        raise OSError(errno.EINVAL, "is a pipe, a socket or a device; give a regular file", str(path))
    return path
