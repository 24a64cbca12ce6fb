import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from rasterio.warp import transform_bounds

from flood_seg.cli.main import main
from flood_seg.config.compose import compose
from flood_seg.config.repository import choices
from flood_seg.config.schema import SceneConfig
from flood_seg.errors import DataError, FloodSegError, PartialFailureError, UsageError
from flood_seg.imaging.bands import BandSelection
from flood_seg.scenes.scene import Scene
from flood_seg.verbs.data.scene import scene
from flood_seg.workshop.catalog.area import Area
from flood_seg.workshop.catalog.search import group

UTM = "EPSG:32632"
INSIDE = transform_bounds(UTM, "EPSG:4326", 703_004, 5_595_004, 706_996, 5_598_996)  # in the tile, near its middle
BORDER = (11.97, 50.44, 12.03, 50.48)  # across 12° E


def text(box) -> str:
    return ",".join(f"{one:.9f}" for one in box)


def get(world, out, *overrides: str, bbox=INSIDE, date="2021-07-15", **flags) -> Path:
    scene([f"catalog.url={world.url}", "scene.retries=0", *overrides], bbox=text(bbox), date=date, out=out, **flags)
    return Path(out)


def stored(path: Path, bounds, band: int = 1) -> np.ndarray:
    """The pixels of a file within bounds that are in line with them, read directly."""
    with rasterio.open(path) as source:
        return source.read(band, window=source.window(*bounds).round_offsets().round_lengths())


def test_the_pixels_are_those_of_the_files_and_the_bands_have_their_names(world, tmp_path):
    out = get(world, tmp_path / "a.tif", bands="nir,red,green")
    with rasterio.open(out) as made:
        west, south, east, north = made.bounds
        assert made.crs == UTM and made.res == (10, 10) and made.nodata == 0 and made.dtypes == ("uint16",) * 3
        assert made.descriptions == ("nir", "red", "green")
        inside = transform_bounds("EPSG:4326", UTM, *INSIDE, densify_pts=21)
        assert west <= inside[0] < west + 10 and south <= inside[1] < south + 10
        assert north - 10 < inside[3] <= north and east - 10 < inside[2] <= east
        for number, band in enumerate(("nir", "red", "green"), 1):
            expected = stored(world.folder / f"tile/{band}.tif", made.bounds)
            has_data = stored(world.folder / "tile/nir.tif", made.bounds) > 0
            np.testing.assert_array_equal(made.read(number), np.where(has_data, expected, 0))
        assert not has_data.all() and has_data.any()  # the corner without near infrared
        assert made.tags()["STAC_ITEMS"] == "clear" and made.tags()["STAC_API"] == world.url


def test_map_and_training_read_the_bands_by_name_and_the_time(world, tmp_path):
    out = get(world, tmp_path / "a.tif", bands="red,nir")
    with Scene.open(out, BandSelection(("nir", "red"), value_scale=10_000)) as opened:
        assert opened.time == datetime(2021, 7, 15, 10, 36, 29, tzinfo=UTC)
        raster = opened.read(opened.box)
    with rasterio.open(out) as made:
        np.testing.assert_array_equal(raster.values, np.moveaxis(made.read([2, 1]), 0, 2))
        np.testing.assert_array_equal(raster.valid, made.read(1) > 0)


def test_classes_of_another_resolution_are_the_nearest_ones(world, tmp_path):
    out = get(world, tmp_path / "a.tif", bands="red,scl")
    with rasterio.open(out) as made:
        west, south, east, north = made.bounds
        wide = (west - 10, south - 10, east + 10, north + 10)
        cols = ((west + 10 * np.arange(made.width) + 5 - 699_960) // 20).astype(int)
        rows = ((5_600_040 - north + 10 * np.arange(made.height) + 5) // 20).astype(int)
        with rasterio.open(world.folder / "tile/scl.tif") as source:
            expected = source.read(1)[np.ix_(rows, cols)]
        assert wide and made.dtypes[1] == "uint16"
        np.testing.assert_array_equal(made.read(2), expected)


def test_a_window_takes_a_part_of_the_bytes(world, tmp_path):
    world.files.sent.clear()
    box = transform_bounds(UTM, "EPSG:4326", 702_600, 5_597_500, 704_900, 5_599_800)
    get(world, tmp_path / "a.tif", bbox=box, bands="red")
    size = (world.folder / "tile/red.tif").stat().st_size
    assert set(world.files.sent) == {"/tile/red.tif"}
    assert 0 < world.files.sent["/tile/red.tif"] < size / 2


def test_a_coarse_resolution_reads_an_overview(world, tmp_path):
    whole = transform_bounds(UTM, "EPSG:4326", 701_000, 5_591_000, 709_000, 5_599_000)
    world.files.sent.clear()
    out = get(world, tmp_path / "a.tif", "scene.resolution=20", bbox=whole, bands="red")
    assert world.files.sent["/tile/red.tif"] < (world.folder / "tile/red.tif").stat().st_size / 2
    with rasterio.open(out) as made, rasterio.open(world.folder / "tile/red.tif", overview_level=0) as overview:
        window = overview.window(*made.bounds).round_offsets().round_lengths()
        np.testing.assert_array_equal(made.read(1), overview.read(1, window=window))


def test_tiles_of_two_zones_become_one_file_in_the_zone_of_the_first(world, tmp_path):
    out = get(world, tmp_path / "a.tif", date="2021-07-18", bands="red,green", bbox=BORDER)
    with rasterio.open(out) as made:
        values = made.read()
        rows, cols = np.indices(made.shape)
        xs, ys = rasterio.transform.xy(made.transform, rows.ravel(), cols.ravel())
        place = rasterio.warp.transform(made.crs, "EPSG:4326", xs, ys)
        tags = made.tags()
    assert sorted(tags["STAC_ITEMS"].split(",")) == ["zone32", "zone33"]
    assert tags["TIFFTAG_DATETIME"] == "2021:07:18 10:36:32"
    east, north = (np.reshape(one, values.shape[1:]) for one in place)
    assert east.min() < 11.98 and east.max() > 12.02 and (values > 0).all()
    assert abs(values[0] - (east - 11) * 10_000).max() < 2.5  # a pixel is 1.4 of these units wide
    assert abs(values[1] - (north - 50) * 10_000).max() < 2.5


def test_cloudy_dates_are_left_out_and_the_newest_are_taken(world, tmp_path, capsys):
    get(world, tmp_path / "out", date="2021-07-01/2021-07-17", bands="red", count=5)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sentinel-2-l2a_20210715T103629.tif"]
    assert "2021-07-10 10:36" in capsys.readouterr().out  # what is found is listed
    get(world, tmp_path / "both", date="2021-07-01/2021-07-17", bands="red", count=5, cloud=80)
    assert len(list((tmp_path / "both").iterdir())) == 2
    get(world, tmp_path / "one", date="2021-07-01/2021-07-17", bands="red", cloud=80)
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["sentinel-2-l2a_20210715T103629.tif"]


def test_values_of_all_baselines_are_on_one_scale(world, tmp_path):
    """Digital numbers are 1000 higher since baseline 04.00, unless the catalogue has subtracted it."""
    old = get(world, tmp_path / "old.tif", date="2019-07-15", bands="red,scl")
    new = get(world, tmp_path / "new.tif", date="2022-07-15", bands="red,scl")
    with rasterio.open(old) as before, rasterio.open(new) as after:
        values = before.read(1).astype(int)
        np.testing.assert_array_equal(after.read(1), np.maximum(values - 1000, 1))  # dark is not without data
        np.testing.assert_array_equal(after.read(2), before.read(2))  # classes


def test_a_linear_scale_is_applied(world, tmp_path):
    collection = "catalog.collections.sentinel-2-l2a"
    keys = (f"{collection}.gain=0.275", f"{collection}.offset=-200", f"{collection}.offset_applied=null")
    plain, scaled = (get(world, tmp_path / name, *more, bands="red") for name, more in (("a.tif", ()), ("b.tif", keys)))
    with rasterio.open(plain) as before, rasterio.open(scaled) as after:
        np.testing.assert_array_equal(after.read(1), np.rint(before.read(1) * 0.275 - 200).clip(1))


def test_the_box_of_a_vector_file_is_the_area(world, tmp_path):
    import pyogrio.raw

    triangle = shapely.to_wkb(shapely.Polygon([(703_000, 5_595_000), (707_000, 5_595_000), (703_000, 5_599_000)]))
    aoi = tmp_path / "area.gpkg"
    pyogrio.raw.write(aoi, np.array([triangle], object), [], [], geometry_type="Polygon", crs=UTM, driver="GPKG")
    scene([f"catalog.url={world.url}"], aoi=aoi, date="2021-07-15", bands="red", out=tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as made:
        west, south, east, north = made.bounds
        assert west <= 703_000 and south <= 5_595_000 and east >= 707_000 and north >= 5_599_000
        assert made.width < 440 and made.read(1).all()  # outside of the triangle, too


def test_files_that_require_a_token_are_read_with_it_and_it_is_not_told(world, tmp_path):
    with pytest.raises(DataError, match=r"signed, red \(http://.*/signed/red.tif\): cannot be read \(HTTP response c"):
        get(world, tmp_path / "a.tif", date="2023-07-20", bands="red")
    token = f"catalog.token_url='{world.files.url}/token/{{collection}}'"
    out = get(world, tmp_path / "a.tif", token, date="2023-07-20", bands="red")
    with rasterio.open(out) as made:
        np.testing.assert_array_equal(made.read(1), stored(world.folder / "signed/red.tif", made.bounds))
        assert "secret" not in str(made.tags())
    with pytest.raises(DataError, match="catalog.token_url=.*/nothing: answers with HTTP status 404"):
        get(world, tmp_path / "b.tif", f"catalog.token_url={world.files.url}/nothing", date="2023-07-20", bands="red")


@pytest.mark.parametrize(("band", "reason"), [("blue", "HTTP response code: 404"), ("nir", "")])
def test_a_broken_file_is_named_and_leaves_nothing(world, tmp_path, band, reason):
    whole = transform_bounds(UTM, "EPSG:4326", 701_000, 5_591_000, 709_000, 5_599_000)
    with pytest.raises(DataError, match=rf"^broken, {band} \(http://\S+/broken/{band}.tif\): cannot .*{reason}"):
        get(world, tmp_path / "out", date="2021-07-20", bands=f"red,{band}", bbox=whole)
    assert not list(tmp_path.rglob("*.tif*"))


def test_of_several_dates_the_others_are_done(world, tmp_path, capsys):
    with pytest.raises(PartialFailureError, match="1 of 2 dates failed"):
        get(world, tmp_path / "out", "scene.coverage=90", date="2021-07-15/2021-07-20", bands="red,nir", count=2)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sentinel-2-l2a_20210715T103629.tif"]
    assert "broken, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("date", "keys", "flags", "message"),
    [
        ("2020-07-15", (), {}, "no scenes found; extend --date"),
        ("2021-07-10", (), {}, "1 date with at least 80 % clouds; extend --date, or raise --cloud 30"),
        ("2021-07-15", ("scene.coverage=100",), {"bbox": (11.7, 50.43, 11.9, 50.5)}, "1 date with at most .* % of the"),
        ("2021-07-15", ("scene.max_megapixels=0.1",), {}, "or raise scene.max_megapixels=0.1"),
        ("2021-07-18", (), {"bands": "nir", "bbox": BORDER}, "zone3.: has no asset nir"),
        ("2021-07-18", ("catalog.collections.sentinel-2-l2a.assets.red='red:2'",), {"bands": "red", "bbox": BORDER},
         "has 1 bands, not number 2"),
    ],
)  # fmt: skip
def test_what_is_not_there_says_what_to_relax(world, tmp_path, date, keys, flags, message):
    with pytest.raises(DataError, match=message):
        get(world, tmp_path / "out", *keys, date=date, **flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"bbox": "1,2,3,4"}, "--date is missing"),
        ({"date": "2021-07-15"}, "either --bbox W,S,E,N or --aoi FILE"),
        ({"bbox": "1,2,3", "date": "2021-07-15"}, "--bbox 1,2,3: give west,south,east,north"),
        ({"bbox": "3,2,1,4", "date": "2021-07-15"}, "crosses the 180th meridian"),
        ({"bbox": "1,2,3,nan", "date": "2021-07-15"}, "is not west,south,east,north"),
        *(
            ({"bbox": "1,2,1.1,2.1", "date": date}, f"--date {date}: give a date")
            for date in ("15.7.2021", "2021-08-01/2021-07-01", "..", "a/b/c", "2021-02-30")
        ),
        ({"bbox": "1,2,1.1,2.1", "date": "2021-07-15", "collection": "sentinel-3"}, "did you mean 'sentinel-2-l2a'"),
        ({"bbox": "1,2,1.1,2.1", "date": "2021-07-15", "count": 2, "out": "a.tif"}, "give a folder for --count 2"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_one_line(flags, message):
    with pytest.raises(UsageError, match=message):
        scene(**flags)


def test_a_wrong_vector_file_is_named(tmp_path):
    empty, text_file = tmp_path / "empty.geojson", tmp_path / "area.gpkg"
    empty.write_text('{"type": "FeatureCollection", "features": []}')
    text_file.write_text("no")
    for file, message in ((empty, "holds no shapes"), (text_file, "cannot be read"), (tmp_path / "no", "not exist")):
        with pytest.raises(FloodSegError, match=rf"--aoi {file}: .*{message}"):
            scene(aoi=file, date="2021-07-15")


def test_acquisitions_are_separate_and_their_best_and_latest_tile_comes_first():
    def tile(name: str, hour: int, west: float, east: float, **properties: object) -> pystac.Item:
        outline = shapely.geometry.mapping(shapely.box(west, 50, east, 51))
        return pystac.Item(name, outline, None, datetime(2026, 1, 14, hour, tzinfo=UTC), properties)

    down, up = {"sat:orbit_state": "descending"}, {"sat:orbit_state": "ascending"}
    items = [
        tile("down_left", 5, 7, 7.25, **down, **{"eo:cloud_cover": 0}),
        tile("down_right_v1", 5, 7.25, 8, **down, **{"eo:cloud_cover": 40}),
        tile("down_right_v2", 5, 7.25, 8, **down, **{"eo:cloud_cover": 40}),
        tile("up", 17, 7.5, 9, **up),
        tile("touching", 5, 8, 9, **down),
    ]
    later, earlier = group(items, Area(7, 50, 8, 51))
    assert [one.id for one in later.items] == ["up"] and later.cloud is None and later.coverage == pytest.approx(50)
    assert [one.id for one in earlier.items] == ["down_right_v2", "down_right_v1", "down_left"]
    assert earlier.coverage == pytest.approx(100) and earlier.cloud == pytest.approx(40 * 1.5 / 1.75)


@pytest.mark.parametrize("catalog", choices("catalog"))
def test_every_catalogue_composes_with_each_of_its_collections(catalog):
    for collection in compose("scene", [f"catalog={catalog}"], SceneConfig).catalog.collections:
        config = compose("scene", [f"catalog={catalog}", f"scene.collection={collection}"], SceneConfig)
        assert set(config.bands) <= set(config.collection.assets)


def test_a_dry_run_lists_and_writes_nothing(world, tmp_path, capsys):
    get(world, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    shown = capsys.readouterr().out
    assert "sentinel-2a" in shown and "10 %" in shown and "sentinel-2-l2a_20210715T103629.tif: would be" in shown


@pytest.mark.parametrize("collection", ["sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"])
def test_without_a_network_it_is_one_line(tmp_path, collection):
    environment = os.environ | {"HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "flood_seg", "data", "scene", "--bbox", "-90.1,29.9,-90.0,30.0", "--date", "2021-07-15",
         "--collection", collection, "scene.retries=0"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    (line,) = done.stderr.splitlines()
    assert line.startswith("flood-seg: error: catalog.url=https://") and "no network" in line


def test_an_address_that_is_no_stac_api_is_said(world, tmp_path):
    for url, reason in ((world.files.url, "HTTP status 404"), (f"{world.url}/collections", "is no STAC API")):
        with pytest.raises(DataError, match=rf"catalog.url={url}: .*{reason}"):
            scene([f"catalog.url={url}"], bbox="1,2,1.1,2.1", date="2021-07-15", out=tmp_path / "out")


def test_an_interrupted_download_leaves_nothing(world, tmp_path):
    world.files.delay = 0.3
    try:
        running = subprocess.Popen(
            [sys.executable, "-m", "flood_seg", "data", "scene", f"catalog.url={world.url}", "--bbox", text(INSIDE),
             "--date", "2021-07-15", "--out", str(tmp_path / "out")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for _ in range(600):
            if list(tmp_path.rglob("*.part*")):
                break
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    finally:
        world.files.delay = 0
    assert running.returncode == 130 and errors == "flood-seg: interrupted\n"
    assert not list((tmp_path / "out").iterdir())


def test_another_collection_is_described_on_the_command_line(world, tmp_path):
    """As docs/maps.md does: bands of one file, and no nodata value."""
    described = (
        "+catalog.collections.drone={bands:[red,green],assets:{red:'image:1',green:'image:2'},categorical:[],"
        "resolution:0.5,dtype:uint8,nodata:null,gain:1,offset:0,offset_from:{},offset_applied:null}"
    )
    box = transform_bounds(UTM, "EPSG:4326", 700_000, 5_599_950, 700_050, 5_599_990)
    out = tmp_path / "a.tif"
    main(["data", "scene", f"catalog.url={world.url}", "--collection", "drone", described, "--bbox", text(box),
          "--date", "2021-07-15", "--out", str(out), "catalog.collections.drone.bands=[green,red]"])  # fmt: skip
    with rasterio.open(out) as made:
        assert made.descriptions == ("green", "red") and made.dtypes == ("uint8", "uint8") and made.res == (0.5, 0.5)
        for number, place in ((1, 2), (2, 1)):
            expected = stored(world.folder / "drone/image.tif", made.bounds, place)
            np.testing.assert_array_equal(made.read(number), expected)
            assert (expected == 0).any() and made.nodata is None


def test_an_object_store_is_read_with_gdals_options(world, tmp_path, monkeypatch):
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host = ":".join(map(str, server.get_host_and_port()))
        store = boto3.client("s3", endpoint_url=f"http://{host}", region_name="us-east-1")
        store.create_bucket(Bucket="eodata")
        store.upload_file(str(world.folder / "tile/red.tif"), "eodata", "red.tif")
        keys = f"+catalog.gdal={{AWS_S3_ENDPOINT:'{host}',AWS_HTTPS:'NO',AWS_VIRTUAL_HOSTING:'FALSE'}}"
        out = get(world, tmp_path / "a.tif", keys, date="2024-07-15", bands="red")
    finally:
        server.stop()
    with rasterio.open(out) as made:
        np.testing.assert_array_equal(made.read(1), stored(world.folder / "tile/red.tif", made.bounds))


@pytest.mark.parametrize(("date", "band"), [("2021-07-20", "nir"), ("2021-07-20", "blue"), ("2023-07-20", "red")])
def test_of_a_broken_file_the_command_prints_one_line(world, tmp_path, date, band):
    done = subprocess.run(
        [sys.executable, "-m", "flood_seg", "data", "scene", f"catalog.url={world.url}", "--bbox", text(INSIDE),
         "--date", date, "--bands", band, "--out", str(tmp_path / "out"), "scene.retries=1",
         f"catalog.token_url='{world.files.url}/token/wrong'"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "secret" not in done.stderr
