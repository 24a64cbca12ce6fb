"""Writes a layer that is made of a finished mask: a raster of classes, their polygons and their figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flood_seg.analysis.pixel_grid import ClassSizes
from flood_seg.analysis.result import UNOBSERVED
from flood_seg.files import write_json
from flood_seg.products.layers import DerivedLayer, write_classes
from flood_seg.products.vectors.areas import write_polygons

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np

    from flood_seg.analysis.pixel_grid import PixelGrid
    from flood_seg.config.schema.scenes import MapOptions
    from flood_seg.products.layers import Legend
    from flood_seg.scenes.grid import Box
    from flood_seg.spec import ModelSpec


def write_layer(
    name: str, title: str, legend: Legend, grid: PixelGrid, compute: Callable[[Box], np.ndarray], folder: Path,
    options: MapOptions, spec: ModelSpec, water: int, about: Mapping[str, Any], warnings: Callable[[], list[str]],
) -> DerivedLayer:  # fmt: skip
    """Writes NAME.tif part by part, NAME.json, and NAME.gpkg and the like.

    Args:
        name: of the files.
        title: for readers.
        legend: of the raster.
        grid: its pixels, those of the scene.
        compute: returns the values of a rectangle, uint8 [height, width].
        folder: of the files, and of the scene's layers.
        options: of the polygons.
        spec: of the model.
        water: index of the class that is water, whose mean probability the polygons get.
        about: is written into the JSON file before the figures.
        warnings: returns those about the layer when it is written.

    Raises:
        ImageError: a raster cannot be read.
        OutputError: a file cannot be written.
        OutOfMemoryError: there are too many polygons.
    """
    path, sizes = folder / f"{name}.tif", ClassSizes(grid.ground)
    with write_classes(path, grid.shape, grid.georeference, legend) as out:
        for box in grid.parts():
            values = compute(box)
            sizes.add(box, values)
            if (values != UNOBSERVED).any():
                out.write(values, 1, window=((box.row, box.row + box.height), (box.col, box.col + box.width)))
    probability = None if options.probability == "none" else folder / "probability.tif"
    bands = [1 if spec.task == "binary" else water + 1] * len(legend.names)
    write_polygons(folder / name, path, legend, options, probability, bands)
    classes = {key: sizes.of(value) for key, value in zip(legend.names, legend.values, strict=True)}
    classes["not_observed"] = sizes.of(UNOBSERVED)
    said = warnings()
    write_json(folder / f"{name}.json", {**about, "classes": classes, "warnings": said})
    areas = None if grid.ground is None else {key: value["area_m2"] for key, value in classes.items()}
    return DerivedLayer(
        title, path.name, legend, tuple(classes[key]["pixels"] for key in legend.names),
        tuple(classes[key]["area_m2"] for key in legend.names) if areas else None,
        {f"{name}_area_m2": areas}, tuple(said),
    )  # fmt: skip
