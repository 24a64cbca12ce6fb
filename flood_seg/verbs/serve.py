"""`flood-seg serve`: the REST service with its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.schema.service import ServeConfig
from flood_seg.imaging.encoded import limit_megapixels
from flood_seg.inference.engines import choose_engine
from flood_seg.verbs.common import as_overrides

if TYPE_CHECKING:
    from collections.abc import Sequence


def serve(
    overrides: Sequence[str] = (), *, model: str | None = None, host: str | None = None, port: int | None = None
) -> None:
    """Serve models until it is stopped.

    Raises:
        FloodSegError: of any kind, before the service is ready.
    """
    engine, name = choose_engine(overrides, model)
    config = compose("serve", [*engine, *as_overrides({"serve.host": host, "serve.port": port})], ServeConfig)
    limit_megapixels(config.max_megapixels)

    from flood_seg.service.app import create_app
    from flood_seg.service.models import Models
    from flood_seg.service.monitoring.logs import logging_as
    from flood_seg.service.server import run_server
    from flood_seg.service.state import Service

    with logging_as(config.serve.log):
        service = Service(config, Models.load(config, name))
        run_server(create_app(service), service)
