"""One service per file of tests, with the bundled model, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.scenes.conftest import smoothing_model
from tests.service.running import Running, running_service

__all__ = ["client", "server", "smoothing_model"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A real `flood-seg serve`; `running_service` starts one with other options."""
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[httpx.Client]:
    """Asks `server`."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client
