"""Inputs that callers name or send: nothing but what they are meant to be is read, and nothing beside it."""

from __future__ import annotations

import json
import os
import sqlite3
import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyogrio.raw import write

from flood_seg.analysis.vectors import read_layer
from flood_seg.config.defaults import defaults
from flood_seg.config.schema.service import SecurityOptions
from flood_seg.console import one_line
from flood_seg.errors import ImageError
from flood_seg.imaging.gdal import utm_32n, write_geotiff
from flood_seg.service.problems import Problem
from flood_seg.service.security.inputs import (
    check_file,
    normal_address,
    open_untrusted,
    resolve_input,
    restricted_environment,
)

SECRET = 77
DEFAULTS = defaults(SecurityOptions)


pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A raster that a caller must not read."""
    path = tmp_path / "private" / "secret.tif"
    path.parent.mkdir()
    write_geotiff(path, np.full((16, 16, 1), SECRET, np.uint8), utm_32n(500_000, 5_600_000, 10), None, [])
    return path


def vrt_of(path: Path) -> str:
    return (
        '<VRTDataset rasterXSize="16" rasterYSize="16"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{path}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )


def test_a_vrt_called_tif_reads_no_other_file(secret: Path, tmp_path: Path) -> None:
    scene = tmp_path / "scene.tif"
    scene.write_text(vrt_of(secret))
    with rasterio.open(scene) as dataset:  # as GDAL would
        assert dataset.read().max() == SECRET
    with pytest.raises(ImageError), open_untrusted(scene):
        pass
    with pytest.raises(Problem) as caught:
        check_file(scene)
    assert caught.value.status == 415
    assert str(tmp_path) not in caught.value.detail


@pytest.mark.parametrize("content", ["<GDAL_WMS><Service name='TMS'/></GDAL_WMS>", '{"type": "Feature"}', "GIF89a", ""])
def test_other_formats_called_tif_are_refused(tmp_path: Path, content: str) -> None:
    scene = tmp_path / "scene.tif"
    scene.write_text(content)
    with pytest.raises(Problem) as caught:
        check_file(scene)
    assert caught.value.status == 415


def test_files_beside_a_raster_are_not_read(secret: Path, tmp_path: Path) -> None:
    scene = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "height": 16, "width": 16, "count": 1, "dtype": "uint8"}
    with rasterio.open(scene, "w", **profile) as out:
        out.write(np.ones((1, 16, 16), np.uint8))
    Path(f"{scene}.ovr").write_text(vrt_of(secret))
    Path(f"{scene}.msk").write_text(vrt_of(secret))
    scene.with_suffix(".tfw").write_text("10\n0\n0\n-10\n500000\n5600000\n")
    Path(f"{scene}.aux.xml").write_text("<PAMDataset><Metadata><MDI key='stolen'>yes</MDI></Metadata></PAMDataset>")
    with rasterio.open(scene) as dataset:  # as GDAL would
        assert dataset.tags()["stolen"] == "yes"
        assert not dataset.transform.is_identity
        assert len(dataset.files) > 1
    with open_untrusted(scene) as opened:
        overviews = opened.overviews(1)
        assert opened.transform.is_identity
        assert "stolen" not in opened.tags()
        assert opened.read_masks().min() == 255
        assert (overviews, opened.files) == ([], [str(scene)])


@pytest.mark.parametrize(("driver", "suffix"), [("GTiff", ".tif"), ("PNG", ".png"), ("JPEG", ".jpg"),
                                                ("JP2OpenJPEG", ".jp2"), ("COG", ".tif")])  # fmt: skip
def test_the_formats_on_the_list_are_read(tmp_path: Path, driver: str, suffix: str) -> None:
    scene = tmp_path / f"scene{suffix}"
    profile = {"driver": driver, "height": 64, "width": 64, "count": 1, "dtype": "uint8"}
    with rasterio.open(scene, "w", **profile) as out:
        out.write(np.full((1, 64, 64), 9, np.uint8))
    check_file(scene)
    with open_untrusted(scene) as opened:
        assert opened.read().mean() == pytest.approx(9, abs=1)


def write_points(path: Path, driver: str) -> None:
    """Writes a point with the field `s`."""
    write(path, shapely.to_wkb(np.array([shapely.Point(7, 50)])), [np.array(["SECRET"], object)], ["s"], driver=driver,
          geometry_type="Point", crs="EPSG:4326", layer="points")  # fmt: skip


@contextmanager
def counting_server() -> Iterator[tuple[str, list[str]]]:
    """Yields the address of a server, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# What a job's process does with each file: its values of `s`, or the class of the error
READ = """
import json, sys
from pathlib import Path
from flood_seg.analysis.vectors import read_layer
from flood_seg.errors import DataError
from flood_seg.imaging.gdal import open_file
from flood_seg.scenes.inputs import find_scenes
found = {}
for name in sys.argv[1:]:
    try:
        if Path(name).suffix in (".tif", ".json", ".txt", ".vrt"):
            scenes = find_scenes(name, None, None)
            found[name] = [int(open_file(scene).read().max()) for scene in scenes]
        else:
            found[name] = [str(one) for one in read_layer(name, kinds={"point"}).fields["s"]]
    except DataError as error:
        found[name] = f"refused: {error}"
print(json.dumps(found))
"""


def test_a_job_reads_shapes_of_no_other_file_and_asks_no_server(secret: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    private = secret.parent / "secret.geojson"
    write_points(private, "GeoJSON")
    for driver, name in (("GPKG", "good.gpkg"), ("FlatGeobuf", "good.fgb"), ("GeoJSON", "good.geojson"),
                         ("KML", "file.kml"), ("GML", "file.gml"), ("GPKG", "view.gpkg"), ("GPKG", "virtual.gpkg"),
                         ("GeoJSON", "link.geojson")):  # fmt: skip
        write_points(inputs / name, driver)
    # A file that GeoJSON's driver opens, and the driver of virtual layers before it
    layer = f"<OGRVRTLayer name='points'><SrcDataSource>{private}</SrcDataSource></OGRVRTLayer>"
    both = {"a": f"<OGRVRTDataSource>{layer}</OGRVRTDataSource>"} | json.loads((inputs / "good.geojson").read_bytes())
    both["features"][0]["properties"]["s"] = "own"
    (inputs / "both.geojson").write_text(json.dumps(both))
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    (inputs / "bomb.gml").write_text(f"<?xml version='1.0'?>{bomb}<FeatureCollection>&b;</FeatureCollection>")
    with sqlite3.connect(inputs / "view.gpkg") as database:
        database.execute(
            "CREATE VIEW more AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        )
    with sqlite3.connect(inputs / "virtual.gpkg") as database:
        database.execute("CREATE VIRTUAL TABLE words USING fts5(word)")
    (inputs / "scene.tif").write_text(vrt_of(secret))
    (inputs / "scene.vrt").write_text(vrt_of(secret))
    (inputs / "list.txt").write_text(f"{secret}\n")
    (inputs / "item.json").write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "assets": {}}))
    with counting_server() as (server, asked):
        linked = json.loads((inputs / "link.geojson").read_bytes())
        linked["crs"] = {"type": "link", "properties": {"href": f"{server}/crs", "type": "proj4"}}
        (inputs / "link.geojson").write_text(json.dumps(linked))
        # What would happen without: each of these attacks works
        pyogrio.read_info(inputs / "link.geojson")
        assert asked == ["/crs"]
        assert list(read_layer(inputs / "both.geojson", kinds={"point"}).fields["s"]) == ["SECRET"]
        asked.clear()

        names = sorted(path.name for path in inputs.iterdir())
        environment = os.environ | restricted_environment()
        done = subprocess.run([sys.executable, "-c", READ, *names], cwd=inputs, env=environment, capture_output=True,
                              text=True, timeout=120, check=True)  # fmt: skip
    found = json.loads(done.stdout)
    assert asked == []
    read = {name: value for name, value in found.items() if isinstance(value, list)}
    linked_value = read.pop("link.geojson", None)  # its reference system is unknown, whatever comes of that
    assert linked_value in (None, ["SECRET"])
    assert read == {
        "good.gpkg": ["SECRET"],
        "good.fgb": ["SECRET"],
        "good.geojson": ["SECRET"],
        "both.geojson": ["own"],
    }
    assert "view more" in found["view.gpkg"]
    assert "virtual table words" in found["virtual.gpkg"]
    assert set(found) - set(read) - {"link.geojson", "file.xsd"} == {
        "file.kml", "file.gml", "bomb.gml", "view.gpkg", "virtual.gpkg", "scene.tif", "scene.vrt",
            "list.txt", "item.json",
    }  # fmt: skip


def security(**given: object) -> SecurityOptions:
    return replace(DEFAULTS, **given)  # type: ignore[arg-type]


@pytest.fixture
def data(tmp_path: Path, secret: Path) -> Path:
    """A data folder with a scene, and links that lead out of it and around in it."""
    folder = tmp_path / "data"
    (folder / "a b").mkdir(parents=True)
    (folder / "a b" / "scene 1.tif").write_bytes(b"II*\0")
    (folder / "out.tif").symlink_to(secret)
    (folder / "in.tif").symlink_to(folder / "a b" / "scene 1.tif")
    (folder / "outside").symlink_to(secret.parent)
    (folder / "loop.tif").symlink_to(folder / "loop.tif")
    (folder / "folder.tif").mkdir()
    (folder / ".hidden.tif").write_bytes(b"II*\0")
    (tmp_path / "data2").mkdir()
    (tmp_path / "data2" / "scene.tif").write_bytes(b"II*\0")
    return folder


def test_a_path_below_the_data_folder_is_read(data: Path) -> None:
    scene = str((data / "a b" / "scene 1.tif").resolve())
    assert resolve_input("a b/scene 1.tif", security(data_dir=str(data))) == scene
    assert resolve_input("in.tif", security(data_dir=str(data))) == scene


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "../data2/scene.tif", "a b/../../data2/scene.tif", "a b/../in.tif", "/etc/passwd.tif", "~/x.tif",
        "out.tif", "outside/secret.tif", "loop.tif", "folder.tif", ".hidden.tif", "missing.tif", "in.tif\0", "in.tif\n",
        "/vsicurl/https://host/x.tif", "/vsizip/in.tif", "NETCDF:in.tif", "GTIFF_DIR:1:in.tif", "C:\\in.tif",
        "a\\in.tif",
        "in.tif|layername=x", "file:in.tif", "<VRTDataset/>", "x" * 5000 + ".tif", "in.vrt", "in.json",
        "in.txt", "//in.tif",
    ],
)  # fmt: skip
def test_other_paths_are_refused_without_telling_what_is_there(data: Path, text: str) -> None:
    with pytest.raises(Problem) as caught:
        resolve_input(text, security(data_dir=str(data)))
    assert caught.value.status in (415, 422)
    assert str(data) not in caught.value.detail


def test_paths_are_refused_without_a_data_folder() -> None:
    with pytest.raises(Problem) as caught:
        resolve_input("scene.tif", security())
    assert caught.value.status == 403


STEPS = st.sampled_from(
    ["..", ".", "a b", "outside", "out.tif", "in.tif", "scene 1.tif", "data2", "%2e%2e", "", "\0", "~"]
)


@given(st.one_of(st.text(max_size=40), st.lists(STEPS, max_size=6).map("/".join)))
def test_nothing_leads_out_of_the_data_folder(data_folder: Path, text: str) -> None:
    try:
        found = resolve_input(text, security(data_dir=str(data_folder), sources=[]))
    except Problem as problem:
        assert problem.status in (403, 415, 422)
        assert problem.detail == one_line(problem.detail)
    else:
        assert Path(found).is_relative_to(data_folder.resolve())


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `data`, once for all examples."""
    folder = tmp_path_factory.mktemp("module") / "data"
    (folder / "a b").mkdir(parents=True)
    (folder / "in.tif").write_bytes(b"II*\0")
    (folder / "a b" / "scene 1.tif").write_bytes(b"II*\0")
    (folder.parent / "out.tif").write_bytes(b"II*\0")
    (folder / "out.tif").symlink_to(folder.parent / "out.tif")
    (folder / "outside").symlink_to(folder.parent)
    return folder


SOURCES = ["https://maps.example.org/open/", "s3://bucket/floods", "https://10.0.0.7:8443/"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://maps.example.org/open/a.tif", "https://maps.example.org/open/a.tif"),
        ("HTTPS://MAPS.Example.org.:443/open/x/a.tif?token=1", "https://maps.example.org/open/x/a.tif?token=1"),
        ("s3://bucket/floods/a.tif", "s3://bucket/floods/a.tif"),
        ("https://10.0.0.7:8443/a.tif", "https://10.0.0.7:8443/a.tif"),
    ],
)
def test_addresses_below_a_source_are_read(text: str, address: str) -> None:
    assert resolve_input(text, security(sources=SOURCES)) == address


@pytest.mark.parametrize(
    "text",
    [
        "http://maps.example.org/open/a.tif", "https://maps.example.org/closed/a.tif",
        "https://maps.example.org/open/../a.tif",
        "https://maps.example.org/open/%2e%2e/a.tif", "https://maps.example.org/open/%2E./a.tif",
        "https://maps.example.org/open/..%2fa.tif", "https://maps.example.org/open/%252e%252e/a.tif",
        "https://maps.example.org:444/open/a.tif", "https://maps.example.org@evil.org/open/a.tif",
        "https://user:key@maps.example.org/open/a.tif", "https://evil.org/https://maps.example.org/open/a.tif",
        "https://maps.example.org.evil.org/open/a.tif", "https://evil.org\\@maps.example.org/open/a.tif",
        "https://maps.example.org/open/a.tif#x", "https://maps.example.org/open/\na.tif", "https:///open/a.tif",
        "https://10.0.0.7/a.tif", "https://0x0a.0.0.7:8443/a.tif", "https://167772167:8443/a.tif",
        "https://[::1]/a.tif",
        "https://169.254.169.254/latest.tif", "https://127.0.0.1/a.tif", "s3://bucket/floods2/a.tif",
        "s3://bucket2/a.tif",
        "s3://bucket/floods/../a.tif", "file:///etc/passwd.tif", "gs://bucket/a.tif", "ftp://x/a.tif", "://x.tif",
        "https://maps.example.org:port/open/a.tif", "https://[maps]/a.tif", "https://m\u0430ps.example.org/open/a.tif",
        "https://maps.example.org/open/a.vrt", "https://maps.example.org/open/",
        "/vsicurl/https://maps.example.org/open/a.tif",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        resolve_input(text, security(sources=SOURCES))
    assert caught.value.status in (403, 415, 422)


@given(st.text(string.ascii_letters + string.digits + "/.%:@?#\\[]2eEfF5cC-", max_size=60))
def test_no_address_gets_around_its_source(rest: str) -> None:
    from urllib.parse import unquote

    import httpx

    for text in (f"https://maps.example.org{rest}", f"https://{rest}"):
        try:
            address = resolve_input(text, security(sources=SOURCES))
        except Problem:
            continue
        url = httpx.URL(address)  # another parser
        assert (url.scheme, url.userinfo) == ("https", b"")
        assert (url.host, url.port) in (("maps.example.org", None), ("10.0.0.7", 8443))
        path = os.path.normpath(unquote(url.path))
        assert url.host == "10.0.0.7" or path.startswith("/open/")
        assert normal_address(address) == address
