"""The verbs of Triton: `flood-seg triton-server` serves a model, `triton-client` segments images on a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.schema import InferConfig, TritonServerConfig
from flood_seg.errors import UsageError
from flood_seg.verbs.common import as_overrides, as_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def triton_server(
    overrides: Sequence[str] = (),
    *,
    model_type: str | None = None,
    model_path: str | None = None,
    container_name: str | None = None,
    host: str | None = None,
    http_port: int | None = None,
    use_gpus: bool = False,
    docker_version: str | None = None,
    detach: bool = False,
    stop: bool = False,
) -> None:
    """Serve a model until it is interrupted; with `detach`, return when the server is ready."""
    from flood_seg.inference.engines import choose_engine

    flags = {"container_name": container_name, "host": host, "http_port": http_port}
    flags |= {"docker_version": docker_version, "use_gpus": use_gpus or None}
    engine, model_path = choose_engine(overrides, model_path)
    given = as_overrides({f"triton.{key}": value for key, value in flags.items()})
    config = compose("triton_server", [*engine, *given], TritonServerConfig)

    from flood_seg.inference.models import default_model
    from flood_seg.serving.server import serve, stop_server

    if stop:
        stop_server(config.triton)
        return
    model = as_path(model_path) or default_model(Path(config.output_dir))[0]
    serve(config.triton, config.backend, model, model_type, detach)


def triton_client(
    overrides: Sequence[str] = (),
    *,
    image: str | None = None,
    out: PathLike | None = None,
    triton_url: str = "127.0.0.1",
    model_name: str | None = None,
    protocol: str | None = None,
    overlay: bool = False,
    json: PathLike | None = None,
) -> None:
    """Segment an image, a folder or a glob pattern on a Triton server, and write the masks."""
    if image is None:
        raise UsageError("--image is missing: flood-seg triton-client --image photo.jpg")
    from flood_seg.inference.backends.triton import join_address
    from flood_seg.verbs.infer import segment_images

    chosen = ["backend=triton", *([f"backend.protocol={protocol}"] if protocol else [])]
    config = compose("infer", [*chosen, *overrides], InferConfig)
    segment_images(config, join_address(triton_url, model_name), image, as_path(out), overlay, as_path(json))
