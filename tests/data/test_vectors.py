import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.warp import transform_geom

from flood_seg.classes import IGNORED, parse_classes
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.data.vectors import draw_shapes
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.raster import Window
from flood_seg.schema import DataConfig

HEIGHT, WIDTH, CRS = 60, 80, "EPSG:32632"
PLACE = rasterio.Affine(10, 0, 500000, 0, -10, 5600000)
LAKE = shapely.Polygon(
    [(500103, 5599903), (500597, 5599837), (500411, 5599507)],
    [[(500300, 5599800), (500400, 5599790), (500370, 5599700)]],
)
ROAD = shapely.LineString([(500000, 5599450), (500800, 5599600)]).buffer(17)
TWO = parse_classes("multiclass", (), {1: "lake", 2: "road"})


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "a.tif"
    path.parent.mkdir()
    with rasterio.open(path, "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=3, dtype="uint8", crs=CRS,
                       transform=PLACE, photometric="RGB") as out:  # fmt: skip
        out.write(np.full((3, HEIGHT, WIDTH), 90, np.uint8))
    return path


def write_shapes(path: Path, crs: str = CRS, **fields: list) -> Path:
    """Writes the lake, then the road, in another reference system where one is given."""
    path.parent.mkdir(exist_ok=True)
    shapes = [shapely.geometry.shape(transform_geom(CRS, crs, shapely.geometry.mapping(s))) for s in (LAKE, ROAD)]
    values = [np.array(value, object if isinstance(value[0], str) else None) for value in fields.values()]
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(shapes, object)), values, list(fields), geometry_type="Polygon", crs=crs
    )
    return path


def inside(shape) -> np.ndarray:
    """Whether each pixel's centre is, by shapely."""
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    xs, ys = PLACE.c + 10 * columns, PLACE.f - 10 * rows
    return shapely.contains_xy(shape, xs.ravel(), ys.ravel()).reshape(HEIGHT, WIDTH)


EXPECTED = np.where(inside(ROAD), 2, inside(LAKE)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "crs", "kinds"),
    [("a.gpkg", CRS, [1, 2]), ("a.gpkg", "EPSG:3857", ["lake", "road"]), ("a.geojson", "EPSG:4326", ["lake", "road"]),
     ("a.fgb", CRS, [1.0, 2.0])],
)  # fmt: skip
def test_a_pixel_is_inside_where_its_centre_is(name, crs, kinds, image, tmp_path):
    labels = write_shapes(tmp_path / "masks" / name, crs, kind=kinds, other=["x", "y"])
    drawn = draw_shapes(labels, image, TWO, "kind", None)
    assert (drawn != EXPECTED).mean() < (0.003 if crs != CRS else 1e-9)
    assert set(np.unique(drawn)) == {0, 1, 2}


def test_a_window_is_cut_out_of_the_whole(image, tmp_path):
    labels = write_shapes(tmp_path / "masks" / "a.gpkg", kind=[1, 2])
    window = Window(13, 21, 30, 40, 40, (HEIGHT, WIDTH), (0, 0, HEIGHT, WIDTH))
    np.testing.assert_array_equal(draw_shapes(labels, image, TWO, "kind", window), EXPECTED[13:43, 21:61])


def test_without_a_field_all_shapes_are_the_foreground_and_pair_with_their_image(image, tmp_path):
    write_shapes(tmp_path / "masks" / "a.geojson", "EPSG:4326")
    config = DataConfig(data_dir=str(tmp_path))
    (pair,), _ = find_samples(config)
    _, mask = SampleReader.of(config, "binary").load(pair)
    assert (mask != (EXPECTED > 0)).mean() < 0.003


def test_values_that_are_no_class_are_named_or_ignored(image, tmp_path):
    labels = write_shapes(tmp_path / "masks" / "a.gpkg", kind=["lake", "pond"])
    with pytest.raises(
        DataError, match="a.gpkg: the value pond stands in 1 shapes, but the classes are background, lake"
    ):
        draw_shapes(labels, image, TWO, "kind", None)
    lenient = parse_classes("multiclass", (), {1: "lake", 2: "road"}, unlisted="ignore")
    assert (draw_shapes(labels, image, lenient, "kind", None) == IGNORED).sum() == inside(ROAD).sum()


def test_what_is_wrong_with_shapes_is_one_line(image, tmp_path):
    labels = write_shapes(tmp_path / "masks" / "a.gpkg", kind=[1, 2])
    with pytest.raises(DataError, match="no field 'kin'; its fields are kind"):
        draw_shapes(labels, image, TWO, "kin", None)
    (tmp_path / "broken.geojson").write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(ImageError, match="broken.geojson: cannot be read as shapes"):
        draw_shapes(tmp_path / "broken.geojson", image, TWO, None, None)
    plain = tmp_path / "plain.tif"
    with rasterio.open(plain, "w", driver="GTiff", height=9, width=9, count=1, dtype="uint8") as out:
        out.write(np.zeros((1, 9, 9), np.uint8))
    with pytest.raises(ImageError, match="plain.tif: has no place on the map"):
        draw_shapes(labels, plain, TWO, None, None)


def test_a_file_without_shapes_is_all_background(image, tmp_path):
    (tmp_path / "none.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    assert not draw_shapes(tmp_path / "none.geojson", image, TWO, None, None).any()
