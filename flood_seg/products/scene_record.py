"""The record of a mapped scene, its STAC item: what the results depend on, and what a later run reads from it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from flood_seg.config.schema.scenes import MapOptions
from flood_seg.imaging.bands import BandSelection, band_files
from flood_seg.imaging.source import address, is_gdal_name
from flood_seg.object_store import fingerprint
from flood_seg.products.layers import LayerStatistics
from flood_seg.products.stac_item import checksum

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.inference.predictor import Predictor
    from flood_seg.scenes.scene import Scene
    from flood_seg.spec import ModelSpec

LAYERS = ("mask.tif", "probability.tif")
_OF_BLOCKS, _OF_LAYERS = ("overlap", "block_size"), ("probability",)
_WITHOUT_INFLUENCE = (
    "scale",
    "assets",
    "work_dir",
    "share_blocks",
    "progress_file",
)  # or in the signature by another key
_OF_PRODUCTS = {field.name for field in fields(MapOptions)}.difference(_OF_BLOCKS, _OF_LAYERS, _WITHOUT_INFLUENCE)


def signature(scene: Scene, scale: float, digest: str, predictor: Predictor, options: MapOptions) -> dict[str, Any]:
    """Returns what the results of a scene depend on.

    Those of `layers` and `products` concern what is made of the blocks; the blocks depend on the rest.
    """
    files: dict[str, Any] = {}
    for path in band_files(scene.path, BandSelection.of(predictor.spec)):
        name = address(path) if is_gdal_name(path) else scene.source if path == scene.path else str(path)
        files[name] = file_version(path)
    chosen = asdict(options)
    return {
        "model": digest,
        "engine": predictor.backend.description,
        "value_scale": predictor.spec.value_scale,
        "input": files,
        "size": [scene.height, scene.width],
        "scale": scale,
        **{key: chosen[key] for key in _OF_BLOCKS},
        "layers": {"threshold": predictor.threshold} | {key: chosen[key] for key in _OF_LAYERS},
        "products": {key: chosen[key] for key in sorted(_OF_PRODUCTS)},
    }


def file_version(path: Path) -> Any:
    """Returns what changes with the content of a file, or of what else GDAL opens, for JSON; None: it is not known."""
    if is_gdal_name(path):
        return fingerprint(address(path)) if "://" in address(path) else None
    status = path.stat()
    is_text = path.suffix.lower() == ".vrt"  # that of a STAC item is written anew on another machine
    return [status.st_size, sha256(path.read_bytes()).hexdigest() if is_text else status.st_mtime_ns]


def of_blocks(state: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a signature that the blocks depend on."""
    return {key: value for key, value in state.items() if key not in ("layers", "products")}


def parse(content: bytes | None) -> dict[str, Any] | None:
    """Returns the STAC item of an earlier run; None where there is none."""
    with suppress(ValueError):
        found = json.loads(content or b"")
        return found if isinstance(found, dict) else None
    return None


def is_done(record: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether all of a scene's files are as a run with this signature would make them."""
    return _has(record, state, list(state))


def has_layers(record: dict[str, Any], state: dict[str, Any], folder: Path) -> bool:
    """Whether the layers are, and nobody has changed their files since."""
    if not _has(record, state, [key for key in state if key != "products"]):
        return False
    assets = (record["assets"].get(name.replace(".", "_")) for name in LAYERS)
    known = {folder / asset["href"]: asset["file:checksum"] for asset in assets if asset}
    return all(path.is_file() and checksum(path) == expected for path, expected in known.items())


def _has(record: dict[str, Any], state: dict[str, Any], keys: list[str]) -> bool:
    with suppress(KeyError, TypeError):
        found = record["properties"]
        same = all(found["flood_seg:signature"][key] == state[key] for key in keys)
        return bool(same and not found["flood_seg:failed_blocks"])
    return False


def layer_figures(statistics: LayerStatistics, spec: ModelSpec, total: int) -> dict[str, Any]:
    """Returns the figures of layers by class, as properties; `total` is the number of the scene's pixels."""
    by_class = dict(enumerate(spec.class_names))
    areas = statistics.square_metres
    return {
        "shares": {name: statistics.pixels[number] / total for number, name in by_class.items()},
        "area_m2": {name: round(areas[number], 2) for number, name in by_class.items()} if areas else None,
        "expected_shares": {name: statistics.expected[number] / total for number, name in by_class.items()},
        "unobserved_share": statistics.unobserved / total,
    } | ({} if statistics.hidden is None else {"cloud_share": statistics.hidden / total})


def layer_statistics(record: dict[str, Any], spec: ModelSpec, total: int) -> LayerStatistics:
    """Returns what `layer_figures` made the figures of a record from."""
    shares, areas, expected, unobserved = (
        record["properties"][f"flood_seg:{key}"] for key in ("shares", "area_m2", "expected_shares", "unobserved_share")
    )
    hidden = record["properties"].get("flood_seg:cloud_share")
    return LayerStatistics(
        [round(shares[name] * total) for name in spec.class_names],
        round(unobserved * total),
        [expected[name] * total for name in spec.class_names],
        [areas[name] for name in spec.class_names] if areas else None,
        round(hidden * total) if hidden is not None else None,
    )
