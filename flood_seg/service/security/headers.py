"""Headers of every answer: what a browser may load, run, frame and keep."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # of browsers older than frame-ancestors
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
HSTS = "max-age=31536000"
ENDS = "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
# The pages of the API's documentation have scripts and styles in their HTML, which nothing of a caller gets into
_DOCS = re.compile(r"/(docs|redoc)(/.*)?")
_DOCS_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
    f"worker-src 'self' blob:; connect-src 'self'; {ENDS}"
)
# Pages among the results of jobs have scripts in their HTML too, and words of callers: a sandbox without an origin
# keeps them from the cookie and from the other endpoints.
_RESULTS = re.compile(r"/jobs/[^/]+/files/.*")


class SecurityHeaders:
    """Middleware that adds the headers; what a response says of itself stays."""

    def __init__(self, app: ASGIApp, base_map: str | None) -> None:
        """Takes the address of the page's map tiles, whose host its pictures may come from."""
        self._app = app
        origin = _origin(base_map)
        pictures = f"img-src 'self' data: blob:{origin}"
        self._policy = (
            f"default-src 'self'; {pictures}; style-src 'self'; script-src 'self'; connect-src 'self'; {ENDS}"
        )
        self._results_policy = (
            f"sandbox allow-scripts allow-downloads; default-src 'none'; img-src data: blob:{origin}; "
            "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message), scope)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _add(self, headers: MutableHeaders, scope: Scope) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", self._policy_of(scope["path"]))
        # Answers tell of a caller's data: a browser keeps none, or asks again where it can by the entity tag
        headers.setdefault("Cache-Control", "private, no-cache" if "etag" in headers else "no-store")
        if scope["scheme"] == "https":
            headers.setdefault("Strict-Transport-Security", HSTS)

    def _policy_of(self, path: str) -> str:
        if _DOCS.fullmatch(path):
            return _DOCS_POLICY
        return self._results_policy if _RESULTS.fullmatch(path) else self._policy


def _origin(address: str | None) -> str:
    """Returns ` https://host` of an address with placeholders in braces; `{s}.host` becomes `*.host`."""
    if address is None or "://" not in address:
        return ""
    parts = urlsplit(address)
    return f" {parts.scheme}://{re.sub(r'{[^}]*}', '*', parts.netloc)}"
