"""Limits how many requests a caller sends: a token bucket for each."""

from __future__ import annotations

import ipaddress
import math
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from flood_seg.service.problems import Problem
from flood_seg.service.security.auth import credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from flood_seg.service.security.access import Access

MOST_CALLERS = 10_000
BURST_SHARE = 0.1
# A map asks for dozens of tiles at once; each is a few milliseconds of work.
TILE_COST = 0.1
_TILE = re.compile(r"/jobs/[^/]+/tiles/.*")
_FREE = re.compile(r"/(|health/.*|metrics|static/.*|static-offline-docs/.*|docs|redoc|openapi\.json|favicon\.ico)")


@dataclass
class Bucket:
    """Tokens that a caller has, at a time in seconds."""

    tokens: float
    at: float


class Buckets:
    """A token bucket per caller; those that have not called for longest are forgotten, which bounds the memory."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the tokens that a caller gets per minute, of which BURST_SHARE, at least one, can be saved."""
        self._rate = per_minute / 60
        self._most = max(1.0, per_minute * BURST_SHARE)
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, caller: str, cost: float = 1.0) -> float:
        """Takes tokens of a caller.

        Returns:
            0, or the seconds after which there are enough; then none is taken.
        """
        now = self._clock()
        bucket = self._buckets.setdefault(caller, Bucket(self._most, now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._most, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < cost:
            return (cost - bucket.tokens) / self._rate
        bucket.tokens -= cost
        return 0.0


class RateLimit:
    """Middleware that refuses requests of a caller beyond the rate; without a known key, of an address."""

    def __init__(self, app: ASGIApp, access: Access, per_minute: int) -> None:
        """Takes the requests per minute; 0: no limit."""
        self._app, self._access = app, access
        self._buckets = Buckets(per_minute) if per_minute else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "http" and self._buckets is not None and (cost := cost_of(scope["path"])):
            wait = self._buckets.take(self._caller(scope), cost)
            if wait:
                detail = "too many requests of this caller; send fewer per minute"
                again = {"Retry-After": str(math.ceil(wait))}
                await Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, again).response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> str:
        caller = self._access.known(*credentials(HTTPConnection(scope)))
        return f"key {caller.name}" if caller else f"address {network_of(scope.get('client'))}"


def cost_of(path: str) -> float:
    """Returns how many requests one counts as: pages and monitoring are free, of tiles ten are one."""
    if _FREE.fullmatch(path):
        return 0.0
    return TILE_COST if _TILE.fullmatch(path) else 1.0


def network_of(client: tuple[str, int] | None) -> str:
    """Returns the address of a caller; of IPv6, where a customer has a whole network, the first 64 bits."""
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)
