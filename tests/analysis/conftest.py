"""Results of `flood-seg map`, written without a model: analyses read nothing but the files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
from rasterio.transform import Affine, from_origin

from flood_seg.files import write_json
from flood_seg.spec import ModelSpec
from tests.conftest import make_spec

UTM = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}


def write_result(
    folder: Path,
    mask: np.ndarray,
    probability: np.ndarray | None = None,
    *,
    spec: ModelSpec | None = None,
    crs: str | None = UTM["crs"],
    transform: Affine = UTM["transform"],
    time: datetime = datetime(2026, 7, 1, 10, tzinfo=UTC),
    **properties: Any,
) -> Path:
    """Writes mask.tif, uint8 [h, w] (255: no data), maybe probability.tif, float [h, w], and item.json."""
    folder.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "height": mask.shape[0], "width": mask.shape[1], "count": 1, "dtype": "uint8",
               "nodata": 255, "crs": crs, "transform": transform if crs else None}  # fmt: skip
    with rasterio.open(folder / "mask.tif", "w", **profile) as out:
        out.write(mask.astype(np.uint8), 1)
    if probability is not None:
        with rasterio.open(folder / "probability.tif", "w", **profile) as out:
            out.write(np.where(mask == 255, 255, np.rint(probability * 200)).astype(np.uint8), 1)
            out.scales = [0.005]
    spec = spec or make_spec()
    figures = {"flood_seg:model_spec": spec.to_json(), "flood_seg:warnings": [], "flood_seg:datetime_source": "scene"}
    item = pystac.Item(folder.name, None, None, time, figures | properties)
    write_json(folder / "item.json", item.to_dict(include_self_link=False))
    return folder
