"""`flood-seg triton-client`: segment images on a Triton server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.errors import UsageError
from flood_seg.verbs.common import as_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


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
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import InferConfig
    from flood_seg.inference.backends.triton import join_address
    from flood_seg.verbs.infer import segment_images

    chosen = ["backend=triton", *([f"backend.protocol={protocol}"] if protocol else [])]
    config = compose("infer", [*chosen, *overrides], InferConfig)
    segment_images(config, join_address(triton_url, model_name), image, as_path(out), overlay, as_path(json))
