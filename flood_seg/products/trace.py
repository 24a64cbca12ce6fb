"""Polygons of the classes in a mask, traced by GDAL, which reads it line by line: they have no seams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from flood_seg.imaging.gdal import import_rasterio
from flood_seg.products.layers import NODATA, mask_values
from flood_seg.products.polygons import Polygons, offsets

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from flood_seg.spec import ModelSpec

UNOBSERVED = 255  # class index of areas without data

# Without the scene's place: GDAL would give map coordinates.
_VRT = """<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><VRTRasterBand dataType="Byte" band="1">
<{kind}><SourceFilename relativeToVRT="0">{path}</SourceFilename><SourceBand>1</SourceBand>{table}</{kind}>
</VRTRasterBand></VRTDataset>"""


def trace_polygons(mask: DatasetReader, spec: ModelSpec) -> Polygons:
    """Returns the polygons of each class but the background, the first one, and of pixels without data.

    Pixels belong together where they share an edge (4-connectivity). Edges lie on those of pixels, so that the polygons
    are exact; vertices lie where an outline turns. In the order of GDAL, which is that of their last rows.

    Args:
        mask: mask.tif, opened; see `LayerWriter`.
        spec: of the model.
    """
    from rasterio.features import shapes

    rasterio = import_rasterio()
    indices = {value: index for index, value in enumerate(mask_values(spec))} | {NODATA: UNOBSERVED}
    kind, table = "SimpleSource", ""
    # GDAL skips pixels where a mask is 0: the raster is its own mask where 0 is the background. Elsewhere a look-up
    # table makes it so, which takes three times as long.
    if indices.get(0) != 0:
        kind = "ComplexSource"
        table = f"<LUT>{','.join(f'{value}:{indices[value]}' for value in sorted(indices))}</LUT>"
        indices = {index: index for index in indices.values()}
    path = escape(str(Path(mask.name).resolve()))
    virtual = _VRT.format(width=mask.width, height=mask.height, path=path, kind=kind, table=table)
    rings, parts, classes = [np.empty((0, 2), np.int32)], list[int](), list[int]()
    with rasterio.open(virtual) as dataset:
        band = rasterio.band(dataset, 1)
        for geometry, value in shapes(band, mask=band, connectivity=4):
            rings += [np.array(ring, np.int32) for ring in geometry["coordinates"]]  # a tenth of the memory of tuples
            parts.append(len(geometry["coordinates"]))
            classes.append(indices[int(value)])
    lengths = np.array([len(ring) for ring in rings[1:]], np.int64)
    vertices = np.concatenate(rings).astype(np.float64)
    return Polygons(vertices, offsets(lengths), offsets(np.array(parts, np.int64)), np.array(classes, np.uint8))
