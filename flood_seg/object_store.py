"""Folders in S3: their files are listed, read and written whole; and what changes with the content of a remote file."""

from __future__ import annotations

import configparser
import html
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from flood_seg.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEME = "s3://"
TIMEOUT_S = 20  # of a connection
_YES = ("1", "yes", "true", "on")


def s3_endpoint() -> str | None:
    """Returns the address of an S3 server by the variables of AWS or of GDAL; None: Amazon's own."""
    variables = os.environ
    if endpoint := variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL"):
        return endpoint.rstrip("/")
    if host := variables.get("AWS_S3_ENDPOINT"):
        secure = variables.get("AWS_HTTPS", "yes").lower() in _YES
        return host if "://" in host else f"{'https' if secure else 'http'}://{host}"
    return None


@dataclass(frozen=True)
class ObjectFolder:
    """What has a common prefix in a bucket.

    Attributes:
        url: `s3://bucket/prefix`.
    """

    url: str

    def __truediv__(self, name: str) -> ObjectFolder:
        return ObjectFolder(f"{self.url.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.url

    def files(self, *, recursive: bool = False) -> list[str]:
        """Returns the sorted names of its files; `recursive`: with those of the folders in it, as `folder/name`.

        Raises:
            StoreError: the bucket is missing, or cannot be listed.
        """
        import obstore

        with _errors(self.url, "cannot be listed"):
            if recursive:
                found = [entry for chunk in obstore.list(self._store(), chunk_size=1000) for entry in chunk]
            else:
                found = list(obstore.list_with_delimiter(self._store())["objects"])
            return sorted(entry["path"] for entry in found)

    def read(self, name: str) -> bytes | None:
        """Returns the content of a file; None where it is missing.

        Raises:
            StoreError: the bucket is missing, or the file cannot be read.
        """
        import obstore

        with _errors(f"{self.url}/{name}", "cannot be read"):
            try:
                return bytes(obstore.get(self._store(), name).bytes())
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def stream(self, name: str) -> Iterator[bytes]:
        """Yields the content of a file in parts; raises StoreError where it is missing or cannot be read."""
        import obstore

        with _errors(f"{self.url}/{name}", "cannot be read"):
            yield from (bytes(part) for part in obstore.get(self._store(), name).stream())

    def write(self, name: str, content: bytes | Path, media_type: str = "application/octet-stream") -> None:
        """Writes bytes, or the content of a file in parts, whole or not at all.

        Raises:
            StoreError: it cannot be written.
        """
        import obstore

        with _errors(f"{self.url}/{name}", "cannot be written"):
            obstore.put(self._store(), name, content, attributes={"Content-Type": media_type})

    def delete(self, name: str) -> None:
        """Removes a file; raises StoreError."""
        import obstore

        with _errors(f"{self.url}/{name}", "cannot be removed"):
            obstore.delete(self._store(), name)

    def _store(self) -> Any:
        from obstore.store import S3Store

        config: Any = _profile()
        if endpoint := s3_endpoint():
            config["endpoint"] = endpoint
        if os.environ.get("AWS_NO_SIGN_REQUEST", "").lower() in _YES:
            config["skip_signature"] = True
        return S3Store.from_url(
            self.url, config=config,
            client_options={"allow_http": True, "connect_timeout": timedelta(seconds=TIMEOUT_S),
                            "timeout": timedelta(minutes=5)},
            retry_config={"max_retries": 4, "retry_timeout": timedelta(minutes=1)},
        )  # fmt: skip


def _profile() -> dict[str, Any]:
    """Returns the keys in the file of the AWS command line, unless the variables have some."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    parser = configparser.ConfigParser()
    parser.read(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", Path.home() / ".aws" / "credentials"))
    profile = os.environ.get("AWS_PROFILE", "default")
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name: parser[profile][name] for name in names if parser.has_option(profile, name)}


@contextmanager
def _errors(url: str, what: str) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise StoreError(f"{url}: {what} ({_reason(str(error))})") from error


def _reason(text: str) -> str:
    """Returns the server's own words, or the first line without its address and times."""
    if found := re.search(r"<Message>(.*?)</Message>", text, re.DOTALL):
        return html.unescape(found[1])
    first = text.partition("\n")[0]
    if "error sending request" in first:
        return "the server does not respond; check the network, and AWS_ENDPOINT_URL"
    if "169.254.169.254" in text:  # where Amazon's own machines find theirs
        return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_NO_SIGN_REQUEST=YES"
    return first.rpartition(" - ")[2]


def fingerprint(address: str) -> list[Any] | None:
    """Returns what changes with the content of a remote file: its size, and its ETag or time; None: unknown.

    Args:
        address: s3:// or https://.
    """
    if not address.startswith(SCHEME):
        return _fingerprint_of_page(address)
    import obstore
    from obstore.exceptions import BaseError

    folder, _, name = address.rpartition("/")
    try:
        found = obstore.head(ObjectFolder(folder)._store(), name)
    except (BaseError, OSError, ValueError):
        return None
    return [found["size"], found["e_tag"] or found["last_modified"].isoformat()]


def _fingerprint_of_page(address: str) -> list[Any] | None:
    # Not HEAD, which signed addresses refuse.
    request = Request(address, headers={"Range": "bytes=0-0"})
    try:
        with urlopen(request, timeout=TIMEOUT_S) as page:
            headers = page.headers
    except (URLError, OSError, ValueError):
        return None
    size = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length")
    return [size and int(size), headers.get("ETag") or headers.get("Last-Modified")]
