import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.warp import transform_geom

from flood_seg.classes import IGNORED, parse_classes
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.data.vectors import draw_shapes
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.raster import Window

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
    window = Window(13, 21, 30, 40, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(draw_shapes(labels, image, TWO, "kind", window), EXPECTED[13:43, 21:61])


def test_without_a_field_all_shapes_are_the_foreground_and_pair_with_their_image(image, tmp_path):
    write_shapes(tmp_path / "masks" / "a.geojson", "EPSG:4326")
    config = defaults(DataConfig, data_dir=str(tmp_path))
    (pair,), _ = find_samples(config)
    _, mask = SampleReader.of(config, "binary").load(pair)
    assert (mask != (EXPECTED > 0)).mean() < 0.003


def test_values_that_are_no_class_are_named_or_ignored(image, tmp_path):
    labels = write_shapes(tmp_path / "masks" / "a.gpkg", kind=["lake", "pond"])
    with pytest.raises(
        DataError, match="a.gpkg: the value pond occurs in 1 shapes, but the classes are background, lake"
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
    with pytest.raises(ImageError, match="plain.tif: is not georeferenced"):
        draw_shapes(labels, plain, TWO, None, None)


def test_a_file_without_shapes_is_all_background(image, tmp_path):
    (tmp_path / "none.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    assert not draw_shapes(tmp_path / "none.geojson", image, TWO, None, None).any()


def test_rows_that_run_northwards_lose_no_shape(tmp_path):
    place = rasterio.Affine(10, 0, 500000, 0, 10, 5600000 - 10 * HEIGHT)  # the first row lies in the south
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=1, dtype="uint8",
                       crs=CRS, transform=place) as out:  # fmt: skip
        out.write(np.full((1, HEIGHT, WIDTH), 90, np.uint8))
    labels = write_shapes(tmp_path / "masks" / "a.gpkg", kind=[1, 2])
    np.testing.assert_array_equal(draw_shapes(labels, tmp_path / "a.tif", TWO, "kind", None), EXPECTED[::-1])
    window = Window(13, 21, 30, 40, (HEIGHT, WIDTH))
    drawn = draw_shapes(labels, tmp_path / "a.tif", TWO, "kind", window)
    np.testing.assert_array_equal(drawn, EXPECTED[::-1][13:43, 21:61])


def test_shapes_beside_the_image_are_an_error_but_a_window_may_have_none(image, tmp_path):
    labels = write_shapes(tmp_path / "masks" / "a.gpkg", kind=[1, 2])
    far = tmp_path / "far.tif"
    with rasterio.open(image) as source, rasterio.open(
        far, "w", **source.profile | {"transform": PLACE @ rasterio.Affine.translation(1000, 0)}
    ) as out:  # fmt: skip
        out.write(source.read())
    with pytest.raises(ImageError, match=r"a\.gpkg: none of its 2 shapes lies on far\.tif; check the coordinate"):
        draw_shapes(labels, far, TWO, "kind", None)
    window = Window(0, WIDTH - 5, 5, 5, (HEIGHT, WIDTH))
    assert not draw_shapes(labels, image, TWO, "kind", window).any()


def test_a_second_layer_of_shapes_is_not_lost_in_silence(image, tmp_path):
    labels = write_shapes(tmp_path / "masks" / "a.gpkg", kind=[1, 2])
    lake = shapely.to_wkb(np.array([LAKE], object))
    pyogrio.raw.write(labels, lake, [], [], geometry_type="Polygon", crs=CRS, layer="more")
    with pytest.raises(ImageError, match="has 2 layers of shapes, a, more; keep one"):
        draw_shapes(labels, image, TWO, None, None)


def test_a_layer_of_styles_is_no_second_layer(image, tmp_path):
    labels = write_shapes(tmp_path / "masks" / "a.gpkg", kind=[1, 2])
    pyogrio.raw.write(labels, None, [np.array(["x"], object)], ["style"], layer="layer_styles")
    np.testing.assert_array_equal(draw_shapes(labels, image, TWO, "kind", None), EXPECTED)


def feature(geometry: object, kind: object) -> dict:
    mapped = geometry if geometry is None else transform_geom(CRS, "EPSG:4326", shapely.geometry.mapping(geometry))
    return {"type": "Feature", "properties": {"kind": kind}, "geometry": mapped}


def test_shapes_without_area_are_counted_once(image, tmp_path, capsys):
    features = [
        feature(LAKE, 1),
        feature(None, 1),
        feature(shapely.LineString([(500000, 5599450), (500800, 5599600)]), 2),
    ]
    labels = tmp_path / "a.geojson"
    labels.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    for _ in range(2):
        draw_shapes(labels, image, TWO, "kind", None)
    said = capsys.readouterr().err
    assert said.count("1 of 3 shapes are points or lines") == 1 == said.count("1 of 3 shapes have no geometry")


def test_a_shape_whose_class_is_missing_is_named(image, tmp_path):
    labels = tmp_path / "a.geojson"
    labels.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(LAKE, 1), feature(ROAD, None)]}))
    with pytest.raises(DataError, match="the value nan occurs in 1 shapes"):
        draw_shapes(labels, image, TWO, "kind", None)
