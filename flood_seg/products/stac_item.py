"""The STAC Item of a mapped scene: where it lies, what made it, what it holds, and its files."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.products.ground import Ground
from flood_seg.products.layers import Legend
from flood_seg.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pystac import Asset, Item
    from pystac.extensions.classification import Classification

    from flood_seg.products.layers import DerivedLayer
    from flood_seg.scenes.scene import Scene
    from flood_seg.spec import ModelSpec

RECORD = "item.json"  # written last: where it is, the scene is done
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_VECTORS = {
    "gpkg": "application/geopackage+sqlite3",
    "fgb": "application/vnd.flatgeobuf",
    "geojson": "application/geo+json",
    "kml": "application/vnd.google-earth.kml+xml",
}


def _vectors(name: str, title: str) -> dict[str, tuple[str, list[str], str]]:
    return {f"{name}.{suffix}": (media_type, ["data"], title) for suffix, media_type in _VECTORS.items()}


# Media type, roles and title of each file that a scene may have.
FILES = {
    "mask.tif": (_COG, ["data", "labels"], "Class of each pixel"),
    "probability.tif": (_COG, ["data"], "Probability"),
    **_vectors("areas", "Polygons of each class"),
    "map.html": ("text/html", ["overview"], "Map"),
    "change.tif": (_COG, ["data", "labels"], "Change of the water since an earlier map"),
    "change.json": ("application/json", ["metadata"], "Figures of the change"),
    **_vectors("change", "Polygons of the change"),
    "flood.tif": (_COG, ["data", "labels"], "Flood and permanent water"),
    "flood.json": ("application/json", ["metadata"], "Figures of flood and permanent water"),
    **_vectors("flood", "Polygons of flood and permanent water"),
}
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"


def make_item(
    scene: Scene, spec: ModelSpec, model: str, folder: Path, figures: dict[str, Any],
    derived: Sequence[DerivedLayer] = (),
) -> Item:  # fmt: skip
    """Makes the item of a scene whose files are in a folder; `figures` are properties that it has beside others.

    The time is the scene's own, of its TIFF tags, or that of its file; `flood_seg:datetime_source` says which.
    """
    import pystac
    from pystac.extensions.file import FileExtension
    from pystac.extensions.projection import ProjectionExtension

    ground = Ground.of(scene.georeference)
    footprint = ground.footprint(scene.box) if ground else None
    when, source = _time(scene)
    item = pystac.Item(scene.name, footprint, _bounds(footprint), when, {"created": time_text(datetime.now(UTC))})
    item.properties |= {"flood_seg:datetime_source": source} | figures
    item.properties["processing:software"] = {"flood-seg": __version__}
    item.stac_extensions.append(PROCESSING)
    if ground:
        authority = ground.crs.to_authority()
        ProjectionExtension.ext(item, add_if_missing=True).apply(
            code=":".join(authority) if authority else None, wkt2=None if authority else ground.crs.to_wkt(),
            shape=[scene.height, scene.width], transform=list(scene.georeference["transform"])[:6],
        )  # fmt: skip
    _add_model(item, spec, model)
    item.add_asset("scene", pystac.Asset(scene.source, "Scene", roles=["source"]))
    for name, (media_type, roles, title) in FILES.items():
        if (file := folder / name).is_file():
            asset = pystac.Asset(f"./{name}", title, media_type=media_type, roles=roles)
            item.add_asset(name.replace(".", "_"), asset)
            FileExtension.ext(asset, add_if_missing=True).apply(checksum=checksum(file), size=file.stat().st_size)
    for name, legend in {"mask.tif": Legend.of(spec), **{one.file: one.legend for one in derived}}.items():
        _add_classes(item.assets[name.replace(".", "_")], legend)
    return item


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file as a multihash, in hexadecimal digits."""
    with path.open("rb") as file:
        return f"1220{file_digest(file, 'sha256').hexdigest()}"  # SHA-256 is 0x12, 32 bytes long


def _bounds(footprint: dict[str, Any] | None) -> list[float] | None:
    if footprint is None:
        return None
    points = footprint["coordinates"][0]
    return [min(x for x, _ in points), min(y for _, y in points), max(x for x, _ in points), max(y for _, y in points)]


def time_text(when: datetime) -> str:
    """Returns a time in UTC as STAC writes it."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(scene: Scene) -> tuple[datetime, str]:
    """Returns when a scene was taken, as far as it is known, and what says so."""
    if scene.time:
        return scene.time, "scene"
    try:
        return datetime.fromtimestamp(scene.path.stat().st_mtime, UTC), "modification time of the file"
    except OSError:  # a remote file
        return datetime.now(UTC), "time of the processing"


def _add_model(item: Item, spec: ModelSpec, model: str) -> None:
    """Adds the model's record in the terms of the Machine Learning Model extension.

    Its name is its file and folder, without those above, which would tell of this machine where results are passed on.
    """
    from pystac.extensions.mlm import (
        InputStructure,
        MLMExtension,
        ModelInput,
        ModelOutput,
        ResultStructure,
        TaskType,
        ValueScaling,
        ValueScalingType,
    )
    from pystac.extensions.raster import DataType

    scaling = [
        ValueScaling.create(ValueScalingType.Z_SCORE, mean=mean * spec.value_scale, stddev=std * spec.value_scale)
        for mean, std in zip(spec.mean, spec.std, strict=True)
    ]
    shape = [-1, len(spec.bands), spec.height, spec.width]
    order: list[Any] = ["batch", "channel", "height", "width"]
    taken = ModelInput.create(spec.input_name, list(spec.bands), InputStructure.create(shape, order, DataType.FLOAT32))
    taken.properties["value_scaling"] = [one.to_dict() for one in scaling]
    result = ResultStructure.create([-1, spec.logit_channels, spec.height, spec.width], order, DataType.FLOAT32)
    classes = [_class(value, name) for value, name in enumerate(spec.class_names)]
    given = ModelOutput.create(spec.output_name, [TaskType.SEMANTIC_SEGMENTATION], result, classes=classes)
    architecture = "-".join(str(spec.provenance[key]) for key in ("architecture", "encoder") if key in spec.provenance)
    MLMExtension.ext(item, add_if_missing=True).apply(
        "/".join(Path(model).parts[-2:]), architecture or "unknown", [TaskType.SEMANTIC_SEGMENTATION], [taken], [given]
    )
    item.properties["flood_seg:model_spec"] = spec.to_json()


def _class(value: int, name: str, color: str | None = None) -> Classification:
    from pystac.extensions.classification import Classification

    return Classification.create(value, None, re.sub(r"[^0-9A-Za-z_-]", "_", name), title=name, color_hint=color)


def _add_classes(asset: Asset, legend: Legend) -> None:
    from pystac.extensions.classification import ClassificationExtension

    named = zip(legend.values, legend.names, legend.colors, strict=True)
    classes = [_class(value, name, "".join(f"{one:02X}" for one in color)) for value, name, color in named]
    ClassificationExtension.ext(asset, add_if_missing=True).apply(classes)
