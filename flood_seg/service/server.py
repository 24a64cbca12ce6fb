"""Runs the application until it is stopped."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from flood_seg.console import say
from flood_seg.errors import UsageError
from flood_seg.service.security.connections import HEADER_BYTES, bounded_protocol
from flood_seg.signals import sigterm_as_interrupt
from flood_seg.untrusted import restrict

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

    from flood_seg.config.schema.service import ServeOptions
    from flood_seg.service.state import Service


def run_server(app: FastAPI, service: Service) -> None:
    """Serves until SIGTERM or Ctrl-C; requests in progress are finished.

    Raises:
        UsageError: the address cannot be used.
    """
    options = service.config.serve
    listener = bind(options.host, options.port)
    restrict()
    with sigterm_as_interrupt(), suppress(KeyboardInterrupt):  # uvicorn raises the signal once more in the end
        _Server(server_config(app, options), service).run(sockets=[listener])


def server_config(app: FastAPI, options: ServeOptions) -> uvicorn.Config:
    """Returns uvicorn's settings: what it reads of a connection, and whom it believes."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="on",
        timeout_graceful_shutdown=int(options.stop_timeout),
        http=bounded_protocol(options.limits.connections), h11_max_incomplete_event_size=HEADER_BYTES, ws="none",
        proxy_headers=bool(options.security.proxies), forwarded_allow_ips=list(options.security.proxies),
        ssl_certfile=options.security.tls_certificate, ssl_keyfile=options.security.tls_key,
    )  # fmt: skip


class _Server(uvicorn.Server):
    """Says its address once it accepts connections; after a signal it is not ready, and closes somewhat later."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service, self._closes = service, 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops the service; a second signal does so at once."""
        drain = 0.0 if self.should_exit else self._service.config.serve.drain
        super().handle_exit(sig, frame)
        self._service.ready = False
        self._closes = time.monotonic() + drain

    async def on_tick(self, counter: int) -> bool:
        """Returns whether to close; uvicorn asks ten times a second."""
        return await super().on_tick(counter) and time.monotonic() >= self._closes

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            say(f"Ready at {'https' if self.config.is_ssl else 'http'}://{shown}:{port}; Ctrl-C stops it")


def bind(host: str, port: int) -> socket.socket:
    """Returns a socket that listens at an address; raises UsageError where that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise UsageError(f"{host}:{port}: cannot be used ({error.strerror}); choose another --port") from error
    return listener
