"""Keeps web pages of other sites, open in a caller's browser, from using the service through that browser."""

from __future__ import annotations

import ipaddress
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from flood_seg.console import one_line
from flood_seg.service.problems import Problem
from flood_seg.service.security.access import is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from flood_seg.config.schema.service import ServeOptions

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SameOrigin:
    """Middleware that refuses unknown host names, and requests of other sites that change something.

    A page of another site can make its own name point at 127.0.0.1 (DNS rebinding), after which a browser takes the
    service for that site: the header Host still says the site's name. Without rebinding the page can send forms: a
    browser says so in Sec-Fetch-Site and in Origin.
    """

    def __init__(self, app: ASGIApp, options: ServeOptions, *, required: bool) -> None:
        """Takes the options of the service, and whether it requires keys."""
        self._app = app
        own = options.host.strip("[]").lower()
        local = is_loopback(own)
        listed = {host.strip("[]").lower() for host in options.security.hosts}
        # A browser has no key for the name of another site: where keys are required, only a list limits the names.
        self._checked = bool(listed) or not required
        self._hosts = LOCAL_HOSTS | listed | {own}
        self._addresses = not local  # of a machine are many, and rebinding takes a name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "http" and (problem := self._problem(scope)):
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._checked and not self._is_known(host):
            return Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"host {one_line(host)[:100]}: is not served here; list the name in serve.security.hosts",
            )
        if scope["method"] in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        if foreign or headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return Problem(HTTPStatus.FORBIDDEN, "the request comes from a page of another site, which may not do that")
        return None

    def _is_known(self, host: str) -> bool:
        name = _host_name(host)
        return name in self._hosts or (self._addresses and _is_address(name))


def _host_name(host: str) -> str:
    """Returns the name or the address of a header Host, without its port; empty: it has none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
