"""HTTP connections that cannot be held for nothing: their number and their silence are limited."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    import asyncio

HEADER_SECONDS = 10.0
HEADER_BYTES = 16 * 1024


def bounded_protocol(connections: int) -> type[BoundedHttp]:
    """Returns the protocol of a server that has so many connections at once."""
    return type("BoundedHttp", (BoundedHttp,), {"most": connections})


class BoundedHttp(H11Protocol):
    """uvicorn's protocol, which by itself waits for ever for a request that does not come or does not end."""

    most = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expects a request of a new connection."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse()
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expects nothing any more."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes a part of a request, or what follows one that was answered before its end."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._arrived()
        elif not self.transport.is_closing():
            self._expect()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        self._answer(Problem(HTTPStatus.BAD_REQUEST, "the request is not valid HTTP/1.1, or its header is too large"))

    def _expect(self) -> None:
        """The header of a request has begun, or the connection: it must be whole in time."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self) -> None:
        self._answer(Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the service has too many connections"))

    def _answer(self, problem: Problem) -> None:
        response = problem.response()
        headers = [*response.raw_headers, (b"connection", b"close")]
        status = h11.Response(status_code=response.status_code, headers=headers, reason=problem.status.phrase.encode())
        for event in (status, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
