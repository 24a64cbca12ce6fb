"""Fetches an input from its address into a file: GDAL is never given an address of a caller's."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from flood_seg.errors import OutputError
from flood_seg.files import atomic_path
from flood_seg.object_store import ObjectFolder
from flood_seg.service.problems import Problem
from flood_seg.service.security.body import too_large
from flood_seg.service.security.inputs import allowed_address, resolve_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 1 << 20
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
SILENCE_SECONDS = 30.0  # of a server
FETCH_SECONDS = 6 * 3600.0


def fetch(address: str, target: Path, sources: list[str], most_bytes: int) -> None:
    """Writes what an address holds to a file.

    Args:
        address: https:// or s3://, which is checked as `resolve_address` does, as is each one that it leads to.
        target: of the content, written whole or not at all.
        sources: `serve.security.sources`.
        most_bytes: larger content is refused.

    Raises:
        Problem: it is not allowed, leads elsewhere, is too large, or its server does not respond.
        FloodSegError: the file cannot be written, or the bucket does not respond.
    """
    address = resolve_address(address, sources)
    until, size = time.monotonic() + FETCH_SECONDS, 0
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        for part in _parts(address, sources):
            size += len(part)
            if size > most_bytes:
                raise _fault(address, too_large(most_bytes), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            if time.monotonic() > until:
                raise _fault(address, f"takes longer than {FETCH_SECONDS / 3600:g} hours")
            try:
                file.write(part)
            except OSError as error:
                raise OutputError(f"{target}: cannot be written ({error.strerror}); make room") from error


def _parts(address: str, sources: list[str]) -> Iterator[bytes]:
    if address.startswith("s3://"):
        folder, _, name = address.rpartition("/")
        yield from ObjectFolder(folder).stream(name)
        return
    try:
        yield from _follow(address, sources)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise _fault(address, f"cannot be fetched ({reason})") from error


def _follow(address: str, sources: list[str]) -> Iterator[bytes]:
    """Yields the content of an address, or of the one that it redirects to, which is checked like the first one."""
    for _ in range(MOST_REDIRECTS + 1):
        parts = urlsplit(address)
        with closing(_Connection(parts.hostname or "", parts.port or 443)) as connection:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            headers = {"Accept-Encoding": "identity", "User-Agent": "flood-seg"}
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            if response.status in REDIRECTS:
                address = allowed_address(urljoin(address, response.headers.get("Location", "")), sources)
                if not address.startswith("https://"):
                    raise _fault(address, "is where the server redirects to, which is no web page")
                continue
            if response.status != HTTPStatus.OK:
                raise _fault(address, f"its server answers {response.status}")
            while part := response.read(CHUNK):
                yield part
            if response.length:  # `read` with a size does not say that the end is missing
                raise _fault(address, "its server ended the connection too early")
            return
    raise _fault(address, f"redirects more than {MOST_REDIRECTS} times")


class _Connection(http.client.HTTPSConnection):
    """Connects to an address that was checked, not to whatever the name means a moment later."""

    def __init__(self, host: str, port: int) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=SILENCE_SECONDS, context=self._tls)

    def connect(self) -> None:
        """Connects to the first address of the host that responds."""
        error: OSError = OSError("has no address that may be asked")
        for family, kind, protocol, _, place in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            if not may_be_asked(str(place[0]), self.host):
                continue
            plain = socket.socket(family, kind, protocol)
            plain.settimeout(SILENCE_SECONDS)
            try:
                plain.connect(place)
                self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
            except OSError as fault:
                plain.close()
                error = fault
            else:
                return
        raise error


def may_be_asked(found: str, host: str) -> bool:
    """Whether a request may go to an address of a host that is on the list of sources.

    A private network is allowed, since the list says that the host is meant. This machine and the networks of one link,
    where clouds keep the credentials of their machines, are so only where the list names them by address.

    Args:
        found: to which the host's name resolves.
        host: as the list has it.
    """
    address = ipaddress.ip_address(found.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    local = address.is_loopback or address.is_link_local or address.is_unspecified
    if not (local or address.is_multicast or address.is_reserved):
        return True
    return host == str(address) or (address.is_loopback and host == "localhost")


def _fault(address: str, what: str, status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY) -> Problem:
    """Returns a problem with an address, whose query, which may hold a secret, is not shown."""
    return Problem(status, f"{address.partition('?')[0]}: {what}")
