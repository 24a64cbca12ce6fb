"""Who calls: whether keys are required, which key a request carries, and the sessions of the page."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import ConfigError
from flood_seg.service.problems import Problem
from flood_seg.service.security.keys import ROLES, KeyFile, Role, locked, write_secret

if TYPE_CHECKING:
    from flood_seg.config.schema.service import ServeOptions

KEYS_FILE = "keys.json"
SECRET_FILE = "session.secret"
SECRET_BYTES = 32
SESSION_SECONDS = 12 * 3600
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="flood-seg"'}


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    Attributes:
        name: of the key, or ANONYMOUS.
        role: what the caller may do.
    """

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether the caller has a role, or one above it."""
        return ROLES.index(self.role) >= ROLES.index(role)


ANONYMOUS = "anonymous"


class Access:
    """Decides who a caller is."""

    def __init__(self, keys: KeyFile, secret_file: Path, *, required: bool, local: bool) -> None:
        """Takes the keys.

        Args:
            keys: of the callers.
            secret_file: signs sessions; made on first use.
            required: whether a caller without a key is refused.
            local: whether only this machine can connect.
        """
        self.keys, self.required = keys, required
        # On a network that is open to all, nobody is set over the others
        self.anonymous = Caller(ANONYMOUS, "admin" if local else "predict")
        self._secret_file = secret_file
        self._secret: bytes | None = None

    @classmethod
    def of(cls, options: ServeOptions) -> Access:
        """Returns the access to a service with these options."""
        local = is_local(options)
        path = keys_path(options)
        required = {"auto": not local, "true": True, "false": False}[options.security.require_keys]
        return cls(KeyFile(path), path.with_name(SECRET_FILE), required=required, local=local)

    def check(self) -> None:
        """Checks before the service starts that somebody may use it.

        Raises:
            ConfigError: keys are required and there is none.
        """
        if self.required and not self.keys.entries():
            raise ConfigError(
                f"{self.keys.path}: has no key, which callers on a network require; make one by flood-seg serve "
                "--add-key NAME, or give serve.security.require_keys=false where something else keeps strangers away"
            )

    def caller(self, key: str | None, session: str | None) -> Caller:
        """Returns who sent a request.

        Args:
            key: of its header `Authorization: Bearer`; counts before the session.
            session: of its cookie.

        Raises:
            Problem: 401, the key is unknown, or neither is given and keys are required.
        """
        if caller := self.known(key, session):
            return caller
        if key is not None:
            raise Problem(HTTPStatus.UNAUTHORIZED, "the API key is unknown; ask who runs this service for one",
                          {"WWW-Authenticate": f'{CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'})  # fmt: skip
        if self.required:
            raise Problem(HTTPStatus.UNAUTHORIZED, "an API key is required, in the header Authorization: Bearer KEY",
                          CHALLENGE)  # fmt: skip
        return self.anonymous

    def known(self, key: str | None, session: str | None) -> Caller | None:
        """Returns the caller of a key, or else of a session; None: it is unknown, or there is neither."""
        if key is None:
            return None if session is None else self._of_session(session)
        found = self.keys.find(key)
        return Caller(found[0], found[1].role) if found else None

    def open_session(self, name: str) -> str:
        """Returns the cookie of a caller by the name of the key; it ends with the key, or after SESSION_SECONDS."""
        until = int(time.time()) + SESSION_SECONDS
        text = base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
        return f"{text}.{until}.{self._sign(name, until, self.keys.usable()[name].sha256)}"

    def _of_session(self, session: str) -> Caller | None:
        try:
            text, until, signature = session.split(".")
            name = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            ends = int(until)
        except ValueError:
            return None
        entry = self.keys.usable().get(name)
        if entry is None or ends < time.time():
            return None
        if not hmac.compare_digest(self._sign(name, ends, entry.sha256).encode(), signature.encode()):
            return None
        return Caller(name, entry.role)

    def _sign(self, name: str, until: int, digest: str) -> str:
        """Signs a session together with the hash of its key, so that a key of the same name does not revive it."""
        if self._secret is None:
            self._secret = _read_secret(self._secret_file)
        return hmac.digest(self._secret, f"{digest} {until} {name}".encode(), "sha256").hex()


def keys_path(options: ServeOptions) -> Path:
    """Returns the file of the keys."""
    return Path(options.security.keys_file or Path(options.work_dir) / KEYS_FILE)


def is_local(options: ServeOptions) -> bool:
    """Whether only this machine can connect: a proxy in front, or a name for others, says that others do."""
    others = [host for host in options.security.hosts if not is_loopback(host)]
    return is_loopback(options.host) and not others and not options.security.proxies


def is_loopback(host: str) -> bool:
    """Whether a name or an address is that of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _read_secret(path: Path) -> bytes:
    """Returns what signs sessions, the same in all processes of a service.

    Raises:
        FloodSegError: it is shorter than one that was made here, or cannot be read or written.
    """
    with locked(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            write_secret(path, secrets.token_hex(SECRET_BYTES))
    try:
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if len(secret) < 2 * SECRET_BYTES:
        raise ConfigError(f"{path}: is damaged; remove it, which ends the sessions of the page")
    return secret
