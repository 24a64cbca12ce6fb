"""Notices when the Ray node of this machine ends, since Ray then ends this process too, without a word."""

from __future__ import annotations

import atexit
import os
import socket
import threading
from contextlib import suppress
from typing import Any

from flood_seg.errors import ServerError


class NodeWatch:
    """Holds a connection to the node's server, the raylet, which closes with it.

    The next step of this process that needs the node's object store then ends the process (`Terminate the process` in
    Ray's log), so `check` comes before each step.
    """

    def __init__(self, ray: Any) -> None:
        """Takes the module, connected."""
        self.has_ended = False
        here = ray.get_runtime_context().get_node_id()
        name = next(node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == here)
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(name)
        threading.Thread(target=self._wait, name="ray-node", daemon=True).start()

    def _wait(self) -> None:
        with suppress(OSError):
            while self._connection.recv(4096):
                pass
        self.has_ended = True

    def check(self) -> None:
        """Raises ServerError where the node has ended."""
        if self.has_ended:
            raise self.ended()

    def ended(self) -> ServerError:
        """Returns the error of a node that has ended."""
        self.has_ended = True
        error = ServerError(
            "executor=ray: the Ray node of this machine has ended; start the cluster again, and the same "
            "command goes on"
        )
        # Ray ends the process with 1 where it leaves the cluster, and where references to results are dropped: its
        # traceback keeps those.
        atexit.register(lambda: os._exit(error.exit_code))
        return error

    def close(self) -> None:
        """Ends the watch."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
