"""The application of a service, for requests without a network, and behind a real socket in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Request

from flood_seg.config.compose import compose
from flood_seg.config.schema.service import ServeConfig
from flood_seg.service.app import create_app
from flood_seg.service.models import Models
from flood_seg.service.security.access import Caller
from flood_seg.service.security.auth import allowed
from flood_seg.service.server import bind, server_config
from flood_seg.service.state import Service


@cache
def bundled() -> Models:
    """The model in the box, loaded once."""
    return Models.load(compose("serve", [], ServeConfig), str(Path("models/flood_mobilenet/model.onnx").resolve()))


def make_app(folder: Path, *overrides: str) -> FastAPI:
    """Returns an application with an endpoint for each role, /as/ROLE, and one that returns the size of its body."""
    config = compose("serve", [f"serve.work_dir={folder}", "serve.jobs.workers=0", *overrides], ServeConfig)
    app = create_app(Service(config, bundled()))

    @app.get("/as/read")
    async def read(caller: Annotated[Caller, Depends(allowed("read"))]) -> str:
        return caller.name

    @app.get("/as/predict")
    async def predict(caller: Annotated[Caller, Depends(allowed("predict"))]) -> str:
        return caller.name

    @app.get("/as/admin")
    async def admin(caller: Annotated[Caller, Depends(allowed("admin"))]) -> str:
        return caller.name

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/address")
    async def address(request: Request) -> list[str]:
        return [request.client.host if request.client else "", request.url.scheme]

    return app


@contextmanager
def served(app: FastAPI) -> Iterator[tuple[str, int]]:
    """Yields the address of a server that has the protocol and the limits of `flood-seg serve`."""
    options = app.state.service.config.serve
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(server_config(app, options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield "127.0.0.1", listener.getsockname()[1]
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()
