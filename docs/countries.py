"""Writes the outlines of countries below the maps of the service's page: those of Natural Earth that pyogrio carries.

python docs/countries.py
"""

import json
from pathlib import Path

import pyogrio
import shapely
from pyogrio.raw import read

SOURCE = Path(pyogrio.__file__).parent / "tests/fixtures/naturalearth_lowres/naturalearth_lowres.shp"
TARGET = Path(__file__).parent.parent / "flood_seg/service/page/countries.geojson"
STEP = 0.05  # degrees, half a pixel at the closest zoom that draws them


def main() -> None:
    """Rounds the outlines and writes them as one feature."""
    shapes = shapely.from_wkb(read(SOURCE, columns=[])[2])
    merged = shapely.geometrycollections(shapely.set_precision(shapes, STEP))
    parts = shapely.get_parts(shapely.get_parts(merged))
    outlines = shapely.multipolygons(parts[~shapely.is_empty(parts)])
    rounded = shapely.transform(outlines, lambda points: points.round(2))
    about = "Natural Earth 1:110m, admin 0 countries, public domain (naturalearthdata.com); rounded to 0.05 degrees"
    TARGET.write_text(json.dumps({
        "type": "Feature", "source": about, "properties": {}, "geometry": json.loads(shapely.to_geojson(rounded)),
    }, separators=(",", ":")) + "\n", encoding="utf-8")  # fmt: skip


if __name__ == "__main__":
    main()
