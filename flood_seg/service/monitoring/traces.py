"""Traces by OpenTelemetry, which the standard variables of the environment switch on; FastAPI does the rest.

`OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) is the address of a collector. Without it, what
records and sends traces is not even imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flood_seg.service.monitoring.requests import POLLED

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

SERVICE_NAME = "flood-seg"


def telemetry() -> TelemetryConfig:
    """Returns `telemetry=` of the application, and names the service where the environment does not."""
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault("OTEL_SERVICE_NAME", SERVICE_NAME)
    # Metrics are Prometheus', logs go to stderr.
    return {"auto_configure": True, "metrics": False, "logs": False, "exclude": lambda scope: scope["path"] in POLLED}
