"""Polygons of the classes in a raster, traced by GDAL, which reads it line by line: they have no seams.

Where most of the mask has no data, only the parts around the blocks that its file has are traced.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import cv2
import numpy as np

from flood_seg.imaging.gdal import import_rasterio, stored_blocks
from flood_seg.products.layers import NODATA
from flood_seg.products.vectors.polygons import Polygons, starts_of
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from flood_seg.products.layers import Legend

UNOBSERVED = 255  # class index of areas without data

# Without the scene's place: GDAL would give map coordinates.
_VRT = """<VRTDataset rasterXSize="{box.width}" rasterYSize="{box.height}"><VRTRasterBand dataType="Byte" band="1">
<{kind}><SourceFilename relativeToVRT="0">{path}</SourceFilename><SourceBand>1</SourceBand>
<SrcRect xOff="{box.col}" yOff="{box.row}" xSize="{box.width}" ySize="{box.height}"/>
<DstRect xOff="0" yOff="0" xSize="{box.width}" ySize="{box.height}"/>{table}</{kind}>
</VRTRasterBand></VRTDataset>"""


def trace_polygons(mask: DatasetReader, legend: Legend) -> Polygons:
    """Returns the polygons of each class but the background, the first one, and of pixels without data.

    Pixels belong together where they share an edge (4-connectivity). Edges lie on those of pixels, so that the polygons
    are exact; vertices lie where an outline turns. In the order of GDAL, which is that of their last rows.

    Args:
        mask: the raster, opened; see `LayerWriter` and `write_classes`.
        legend: of its classes.
    """
    from rasterio.features import shapes

    rasterio = import_rasterio()
    indices = {value: index for index, value in enumerate(legend.values)} | {NODATA: UNOBSERVED}
    kind, table = "SimpleSource", ""
    # GDAL skips pixels where a mask is 0: the raster is its own mask where 0 is the background. Elsewhere a look-up
    # table makes it so, which takes three times as long.
    if indices.get(0) != 0:
        kind = "ComplexSource"
        table = f"<LUT>{','.join(f'{value}:{indices[value]}' for value in sorted(indices))}</LUT>"
        indices = {index: index for index in indices.values()}
    path = escape(str(Path(mask.name).resolve()))
    rings, counts, classes, ends = list[np.ndarray](), list[int](), list[int](), list[int]()
    for box in _parts(mask):
        with rasterio.open(_VRT.format(box=box, path=path, kind=kind, table=table)) as dataset:
            band = rasterio.band(dataset, 1)
            for geometry, value in shapes(band, mask=band, connectivity=4):
                found = geometry["coordinates"]
                # A tenth of the memory of tuples.
                rings += [np.add(ring, (box.col, box.row), dtype=np.int32, casting="unsafe") for ring in found]
                counts.append(len(found))
                classes.append(indices[int(value)])
                ends.append(int(rings[-len(found)][:, 1].max()))
    order = np.argsort(ends, kind="stable")
    first = starts_of(np.array(counts, np.int64))
    rings = [ring for polygon in order for ring in rings[first[polygon] : first[polygon + 1]]]
    lengths = np.array([len(ring) for ring in rings], np.int64)
    vertices = np.concatenate([np.empty((0, 2), np.int32), *rings]).astype(np.float64)
    sorted_counts = np.array(counts, np.int64)[order]
    return Polygons(vertices, starts_of(lengths), starts_of(sorted_counts), np.array(classes, np.uint8)[order])


def _parts(mask: DatasetReader) -> list[Box]:
    """Returns rectangles around all blocks that the file has, and a pixel without data more; they do not overlap."""
    stored = stored_blocks(mask).astype(np.uint8)
    count = 0
    while True:
        number, _, boxes, _ = cv2.connectedComponentsWithStats(stored, connectivity=8)
        if number == count:
            break
        count = number
        for left, top, width, height, _ in boxes[1:]:
            stored[top : top + height, left : left + width] = 1
    rows, cols = mask.block_shapes[0]
    whole = Box(0, 0, mask.height, mask.width)
    return [
        Box(top * rows - 1, left * cols - 1, height * rows + 2, width * cols + 2).shared(whole)
        for left, top, width, height, _ in boxes[1:].tolist()
    ]
