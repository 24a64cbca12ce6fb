"""What is checked before a service starts: that its callers can be told apart, and its certificate."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import warn
from flood_seg.errors import ConfigError
from flood_seg.service.security.access import Access, is_loopback

if TYPE_CHECKING:
    from flood_seg.config.schema.service import SecurityOptions, ServeOptions


def check_security(options: ServeOptions) -> None:
    """Checks who may use the service, and its certificate.

    Raises:
        ConfigError: keys are required and there is none, or the certificate cannot be used.
    """
    access = Access.of(options)
    access.check()
    check_certificate(options.security)
    if is_loopback(options.host):
        return
    if not access.required:
        warn(f"no key is required: whoever reaches {options.host}:{options.port} may use the service")
    if options.security.tls_certificate is None and not options.security.proxies:
        warn(f"{options.host}:{options.port}: keys and images are sent unencrypted; see docs/security.md for HTTPS")


def check_certificate(options: SecurityOptions) -> None:
    """Checks that a certificate and its key are there and belong together.

    Raises:
        ConfigError: they cannot be used.
    """
    certificate, key = options.tls_certificate, options.tls_key
    if certificate is None or key is None:
        return
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(f"serve.security.{name}: {path}: cannot be read ({error.strerror})") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # asks nobody for a password
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"serve.security.tls_key: {key}: is not the key of {certificate}; give its own"
            ) from error
        raise ConfigError(
            f"serve.security: tls_certificate={certificate} and tls_key={key}: are not a pair in PEM format "
            f"without a password ({error.reason or error})"
        ) from error
