"""Where photos were taken: the position in EXIF, as GDAL reads it too, and the files that infer writes of it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import InferConfig, OutputConfig
from flood_seg.errors import ConfigError, OutputError, PartialFailureError
from flood_seg.inference import rendering as rendering_module
from flood_seg.inference import segment as segment_module
from flood_seg.inference.photo_position import parse_position, read_position
from flood_seg.verbs.infer import segment_images
from tests.inference.conftest import red_spec, write_model

BACKEND = {"_target_": "flood_seg.inference.backends.onnxruntime.OnnxRuntimeBackend"}
ORIGINAL, OFFSET = 0x9003, 0x9011
KML = "{http://www.opengis.net/kml/2.2}"


def ratio(*parts: float, denominator: int = 10000) -> tuple[IFDRational, ...]:
    return tuple(IFDRational(round(part * denominator), denominator) for part in parts)


def gps(**changes: Any) -> dict[int, Any]:
    """The GPS directory of a photo at 47.5034278° N, 8.2583333° E; None leaves a tag out."""
    tags = {"latitude_ref": 1, "latitude": 2, "longitude_ref": 3, "longitude": 4, "altitude_ref": 5, "altitude": 6,
            "clock": 7, "status": 9, "north": 16, "direction": 17, "datum": 18, "date": 29}  # fmt: skip
    values = {"latitude_ref": "N", "latitude": ratio(47, 30, 12.34), "longitude_ref": "E",
              "longitude": ratio(8, 15, 30), **changes}  # fmt: skip
    return {tags[name]: value for name, value in values.items() if value is not None}


def write_photo(
    path: Path, position: Mapping[int, Any] | None, exif: Mapping[int, Any] | None = None, xmp: bytes = b"",
    red: int = 255, size: tuple[int, int] = (80, 60),
) -> Path:  # fmt: skip
    """Writes a photo whose left quarter is of that red, which is water where it is above 127."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 1] = np.arange(width)  # not blank
    image[:, : width // 4, 0] = red
    directories = {0x8825: position, 0x8769: exif}
    if path.suffix == ".tif":
        tags = ImageFileDirectory_v2()
        more: dict[str, Any] = {"tiffinfo": tags}
    else:
        tags = Image.Exif()
        more = {"exif": tags, "quality": 95, "subsampling": 0} | ({"xmp": xmp} if xmp else {})
    for number, directory in directories.items():
        if directory is not None:
            tags[number] = dict(directory)
    Image.fromarray(image).save(path, **more)
    return path


def run(model: Path, image: Path | str, out: Path | None = None, skip: bool = False, **output: Any) -> None:
    config = defaults(InferConfig, backend=BACKEND, output=defaults(OutputConfig, **output), skip_existing=skip)
    segment_images(config, str(model), str(image), out)


@pytest.fixture
def flight(tmp_path: Path) -> Path:
    """Three photos of one flight and one without a position, all older than any model or mask."""
    folder = tmp_path / "flight"
    folder.mkdir()
    for number in range(3):
        where = gps(longitude=ratio(8, 15, number), altitude=ratio(400 + number)[0], altitude_ref=b"\0")
        write_photo(folder / f"{number}.jpg", where, red=255 if number else 0)
    write_photo(folder / "3.jpg", None)
    for path in folder.iterdir():
        os.utime(path, (1000, 1000))
    return folder


def read_features(folder: Path) -> dict[str, dict[str, Any]]:
    collection = json.loads((folder / "photos.geojson").read_text("utf-8"))
    assert collection["type"] == "FeatureCollection"
    return {Path(one["properties"]["image"]).stem: one for one in collection["features"]}


POSITIONS = {
    "north east": gps(altitude=ratio(431.5)[0], altitude_ref=b"\0", direction=ratio(271.5)[0], north="T"),
    "south west, below the sea level": gps(
        latitude_ref="S", longitude_ref="W", altitude=ratio(12.25)[0], altitude_ref=b"\1",
        direction=ratio(0)[0], north="M",
    ),
    "degrees with a fraction": gps(latitude=ratio(47.5034, 0, 0), longitude=ratio(8.2583, 0, 0)),
    "minutes with a fraction": gps(latitude=ratio(47, 30.2057, 0), longitude=ratio(8, 15.5, 0)),
    "next to the antimeridian": gps(longitude=ratio(179, 59, 59.999), longitude_ref="W"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
@pytest.mark.parametrize("where", POSITIONS.values(), ids=POSITIONS)
def test_positions_are_those_that_gdal_reads(where: dict[int, Any], suffix: str, tmp_path: Path) -> None:
    path = write_photo(tmp_path / f"photo{suffix}", where)
    found = read_position(path)
    with rasterio.open(path) as dataset:
        tags = dataset.tags() | dataset.tags(ns="EXIF")
    number = {key: [float(one) for one in re.findall(r"\(([-\d.]+)\)", value)] for key, value in tags.items()}

    def degrees(name: str, negative: str) -> float:
        whole, minutes, seconds = number[f"EXIF_GPS{name}"]
        return (whole + minutes / 60 + seconds / 3600) * (-1 if tags[f"EXIF_GPS{name}Ref"] == negative else 1)

    assert found.latitude == pytest.approx(degrees("Latitude", "S"), abs=1e-7)  # 1 cm
    assert found.longitude == pytest.approx(degrees("Longitude", "W"), abs=1e-7)
    if "EXIF_GPSAltitude" in tags:
        sign = -1 if tags["EXIF_GPSAltitudeRef"] == "0x01" else 1
        assert found.altitude == sign * number["EXIF_GPSAltitude"][0]
        assert found.heading == number["EXIF_GPSImgDirection"][0]
        assert found.heading_reference == {"T": "true", "M": "magnetic"}[tags["EXIF_GPSImgDirectionRef"]]
    else:
        assert (found.altitude, found.heading, found.heading_reference) == (None, None, None)


UNDEFINED = IFDRational(0, 0)


@pytest.mark.parametrize(
    "changes",
    [{"latitude": None}, {"longitude": None}, {"latitude_ref": None}, {"longitude_ref": ""}, {"latitude_ref": "X"},
     {"latitude": (UNDEFINED, *ratio(1, 1))}, {"longitude": (*ratio(1, 1), UNDEFINED)}, {"latitude": ratio(91, 0, 0)},
     {"longitude": ratio(180, 0, 1)}, {"latitude": ratio(0, 0, 0), "longitude": ratio(0, 0, 0)}, {"datum": "TOKYO"},
     {"latitude": "47 30 12"}, {"latitude": ()}],
    ids=str,
)  # fmt: skip
def test_a_position_that_is_incomplete_or_impossible_is_none(changes: dict[str, Any]) -> None:
    assert parse_position(gps(**changes), {}) is None


def test_a_position_on_the_equator_or_the_prime_meridian_is_one() -> None:
    assert parse_position(gps(latitude=ratio(0, 0, 0)), {}).latitude == 0
    assert parse_position(gps(longitude=ratio(0, 0, 0), datum="WGS-84"), {}).longitude == 0


@pytest.mark.parametrize(
    ("altitude", "reference", "expected"),
    [(ratio(8.5)[0], None, 8.5), (ratio(8.5)[0], b"\1", -8.5), (ratio(8.5)[0], 1, -8.5), (ratio(8.5)[0], b"\3", -8.5),
     (ratio(8.5)[0], b"\2", 8.5), (UNDEFINED, b"\0", None), (IFDRational(5, 0), b"\0", None), (None, b"\1", None)],
)  # fmt: skip
def test_altitudes(altitude: Any, reference: Any, expected: float | None) -> None:
    assert parse_position(gps(altitude=altitude, altitude_ref=reference), {}).altitude == expected


@pytest.mark.parametrize(
    ("where", "exif", "expected"),
    [
        ({"date": "2024:06:03", "clock": ratio(10, 11, 12)}, {ORIGINAL: "2024:06:03 12:11:13"}, "2024-06-03T10:11:12Z"),
        ({"date": "2024-06-03", "clock": ratio(23, 59, 59.9999)}, {}, "2024-06-04T00:00:00Z"),
        ({"date": "2024:06:03", "clock": ratio(1, 2, 3.25)}, {}, "2024-06-03T01:02:03.250Z"),
        ({"date": "2024:06:03", "clock": ratio(25, 0, 0)}, {}, None),
        ({"date": "2024:13:03", "clock": ratio(1, 0, 0)}, {}, None),
        ({"date": "2024:06:03"}, {ORIGINAL: "2024:06:03 12:11:12", OFFSET: "+02:00"}, "2024-06-03T12:11:12+02:00"),
        ({"clock": ratio(1, 0, 0)}, {ORIGINAL: "2024:06:03 12:11:12", 0x9010: "-03:30"}, "2024-06-03T12:11:12-03:30"),
        ({}, {ORIGINAL: "2024:06:03 12:11:12", OFFSET: "+00:00"}, "2024-06-03T12:11:12Z"),
        ({}, {ORIGINAL: "2024:06:03 12:11:12", OFFSET: "   :  "}, "2024-06-03T12:11:12"),
        ({}, {ORIGINAL: "2024:06:03 12:11:12\0"}, "2024-06-03T12:11:12"),
        ({"date": "2024:06:03", "clock": (UNDEFINED, *ratio(1, 1))}, {ORIGINAL: "0000:00:00 00:00:00"}, None),
        ({}, {ORIGINAL: "    :  :     :  :  "}, None),
    ],
)
def test_times(where: dict[str, Any], exif: dict[int, Any], expected: str | None) -> None:
    assert parse_position(gps(**where), exif).time == expected


@pytest.mark.parametrize(
    ("where", "xmp", "expected"),
    [
        ({"direction": ratio(360)[0], "north": "T"}, "", (0, "true")),
        ({"direction": ratio(12.5)[0], "north": "T"}, 'drone-dji:GimbalYawDegree="+90"', (12.5, "true")),
        ({"direction": UNDEFINED, "north": "T"}, 'drone-dji:GimbalYawDegree="-12.30"', (347.7, None)),
        ({"direction": ratio(400)[0]}, "<drone-dji:GimbalYawDegree>+12.30</drone-dji:GimbalYawDegree>", (12.3, None)),
        ({}, 'drone-dji:FlightYawDegree="+179.9" drone-dji:GimbalYawDegree="-0.00"', (0, None)),
        ({}, "<drone-dji:FlightYawDegree>-90.0</drone-dji:FlightYawDegree>", (270, None)),
        ({}, 'drone-dji:GimbalYawDegree="..." drone-dji:FlightYawDegree="1e9"', (1, None)),
        ({}, "", (None, None)),
    ],
)
def test_headings(where: dict[str, Any], xmp: str, expected: tuple[float | None, str | None]) -> None:
    found = parse_position(gps(**where), {}, xmp)
    assert (found.heading, found.heading_reference) == expected


def test_the_heading_of_a_drone_is_in_the_files_xmp(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description drone-dji:GimbalYawDegree="+45.5"/></x:xmpmeta>'
    assert read_position(write_photo(tmp_path / "drone.jpg", gps(), xmp=xmp)).heading == 45.5


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_other_formats_have_positions_too(suffix: str, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "photo.jpg", gps(), {ORIGINAL: "2024:06:03 12:11:12"})
    other = write_photo(tmp_path / f"photo{suffix}", gps(), {ORIGINAL: "2024:06:03 12:11:12"})
    assert read_position(other) == read_position(photo) is not None


def test_a_png_has_a_position_without_being_decoded(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "photo.png", gps())
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"IDAT") + 20])
    assert read_position(path).latitude == pytest.approx(47.5034278)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe1\0\x10Exif\0\0II*\0\xff\xff\xff\x7f"])
def test_a_file_that_is_no_image_has_no_position(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert read_position(tmp_path / "a.jpg") is None and read_position(tmp_path / "missing.jpg") is None


def test_damaged_exif_never_raises(tmp_path: Path) -> None:
    exif = {ORIGINAL: "2024:06:03 12:11:12"}
    whole = write_photo(tmp_path / "a.jpg", gps(altitude=ratio(1)[0], date="2024:06:03"), exif).read_bytes()
    random = np.random.default_rng(0)
    start = whole.index(b"Exif")
    for _ in range(400):
        damaged = bytearray(whole)
        for place in random.integers(start, start + 300, 3):
            damaged[place] = random.integers(256)
        (tmp_path / "b.jpg").write_bytes(damaged)
        read_position(tmp_path / "b.jpg")


def test_reading_a_position_takes_well_below_a_millisecond(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", gps(altitude=ratio(1)[0]), {0x927C: b"m" * 40_000}, size=(4000, 3000))
    read_position(path)
    best = min(_seconds(path) for _ in range(20))
    assert best < 0.001  # took 0.2 ms


def _seconds(path: Path) -> float:
    started = time.process_time()
    for _ in range(10):
        read_position(path)
    return (time.process_time() - started) / 10


def test_photos_with_a_position_are_points(red_model: Path, flight: Path, tmp_path: Path, capsys: Any) -> None:
    run(red_model, flight, locations=["geojson", "kml", "html"])
    masks = tmp_path / "flight_masks"
    files = ", ".join(str(masks / f"photos.{name}") for name in ("geojson", "kml", "html"))
    assert f"{files}: where 3 of 4 photos were taken" in capsys.readouterr().out
    found = read_features(masks)
    assert list(found) == ["0", "1", "2"]
    thumbnail = found["1"]["properties"].pop("thumbnail")
    assert found["1"] == {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": pytest.approx([8 + 15 / 60 + 1 / 3600, 47.5034278])},
        "properties": {
            "image": "../flight/1.jpg", "mask": "1.png", "water_share": 0.25, "input_shift": 0.25,
            "error": None, "altitude": 401.0, "time": None, "heading": None, "heading_reference": None,
        },
    }  # fmt: skip
    assert found["0"]["properties"]["water_share"] == 0
    picture = np.asarray(Image.open(io.BytesIO(b64decode(thumbnail.removeprefix("data:image/jpeg;base64,")))))
    assert picture.shape == (60, 80, 3) and picture[30, 10, 2] > 90 > picture[30, 50, 2]  # the water is tinted blue
    for one in found.values():
        assert (masks / one["properties"]["image"]).is_file() and (masks / one["properties"]["mask"]).is_file()
    assert {path.name for path in masks.iterdir()} == {
        *(f"{number}.png" for number in range(4)), "photos.geojson", "photos.kml", "photos.html",
    }  # fmt: skip


def test_gis_programs_read_both_files(red_model: Path, flight: Path, tmp_path: Path) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    run(red_model, flight, locations=["geojson", "kml"])
    for name in ("photos.geojson", "photos.kml"):
        path = tmp_path / "flight_masks" / name
        information = pyogrio.read_info(path)
        assert information["features"] == 3 and information["geometry_type"] in ("Point", "Unknown")
        assert information["crs"] == "EPSG:4326"
        assert information["total_bounds"] == pytest.approx((8.25, 47.5034278, 8.25 + 2 / 3600, 47.5034278))
    assert "water_share" in pyogrio.read_info(tmp_path / "flight_masks" / "photos.geojson")["fields"]


def test_kml_escapes_what_is_in_it(tmp_path: Path) -> None:
    evil = '<b onclick="x">&amp;'
    model = write_model(tmp_path / "red.onnx", red_spec(class_names=("background", evil)))
    folder = tmp_path / "in"
    folder.mkdir()
    write_photo(folder / 'a & <b> "c" d#e%20.jpg', gps(date="2024:06:03", clock=ratio(1, 2, 3)))
    write_photo(folder / os.fsdecode(b"caf\xe9.jpg"), gps())
    run(model, folder, locations=["kml", "geojson", "html"])
    places = list(ET.parse(tmp_path / "in_masks" / "photos.kml").iter(f"{KML}Placemark"))
    place = places[0]
    assert place.findtext(f"{KML}name") == 'a & <b> "c" d#e%20.jpg'
    assert place.findtext(f"{KML}TimeStamp/{KML}when") == "2024-06-03T01:02:03Z"
    description = place.findtext(f"{KML}description")
    assert 'src="../in/a%20%26%20%3Cb%3E%20%22c%22%20d%23e%2520.jpg"' in description and "<b " not in description
    assert place.findtext(f"{KML}Style/{KML}IconStyle/{KML}color") == "ffb87f2c"  # 25 % and more, as aabbggrr
    assert 'src="../in/caf%E9.jpg"' in places[1].findtext(f"{KML}description")
    values = {one.get("name"): one.findtext(f"{KML}value") for one in place.iter(f"{KML}Data")}
    assert values[f"{evil}_share"] == "0.25"


def test_nothing_is_written_without_a_position_or_where_it_is_switched_off(
    red_model: Path, flight: Path, tmp_path: Path, capsys: Any
) -> None:
    run(red_model, flight, locations=[])
    run(red_model, f"{flight}/3*.jpg", tmp_path / "other")
    run(red_model, flight / "1.jpg", tmp_path / "one")  # a photo alone
    assert not list(tmp_path.rglob("photos.*")) and "taken" not in capsys.readouterr().out


def test_files_that_are_switched_off_are_removed(red_model: Path, flight: Path, tmp_path: Path) -> None:
    folder = tmp_path / "masks"

    def written() -> list[str]:
        return sorted(path.name for path in folder.glob("photos.*"))

    run(red_model, flight, folder, locations=["geojson", "kml", "html"])
    run(red_model, flight, folder, skip=True, locations=["geojson"])
    assert written() == ["photos.geojson"]
    run(red_model, flight, folder, locations=["kml", "html"])
    assert written() == ["photos.html", "photos.kml"]
    run(red_model, flight / "1.jpg", folder / "1.png", locations=[])  # a photo alone says nothing of the others
    assert written() == ["photos.html", "photos.kml"]
    run(red_model, flight, folder, locations=[])
    assert not written()
    (folder / "photos.kml").write_text("<kml>of another program</kml>")
    run(red_model, flight, folder, locations=["geojson"])
    assert written() == ["photos.geojson", "photos.kml"]


def test_a_format_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="output.locations=gpx: allowed are geojson, kml, html"):
        defaults(OutputConfig, locations=["gpx"])


def test_a_photo_without_a_mask_is_a_point_with_its_error(red_model: Path, flight: Path, tmp_path: Path) -> None:
    data = (flight / "1.jpg").read_bytes()
    (flight / "1.jpg").write_bytes(data[: len(data) // 2])
    (flight / "3.jpg").write_bytes(b"no image")
    with pytest.raises(PartialFailureError):
        run(red_model, flight)
    properties = read_features(tmp_path / "flight_masks")["1"]["properties"]
    assert properties["mask"] is None and properties["thumbnail"] is None and properties["input_shift"] is None
    assert "truncated" in properties["error"] and "water_share" not in properties
    collection = json.loads((tmp_path / "flight_masks" / "photos.geojson").read_text("utf-8"))
    assert [Path(one["image"]).name for one in collection["without_position"]] == ["3.jpg"]


def content(folder: Path) -> dict[str, Any]:
    collection = json.loads((folder / "photos.geojson").read_text("utf-8"))
    for one in collection["features"]:
        one["properties"]["input_shift"] = round(one["properties"]["input_shift"], 2)
    return collection


@pytest.mark.parametrize("lost", [False, True])
def test_skipped_photos_stay(lost: bool, red_model: Path, flight: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """They are read back, or made of their masks once more where the file is lost; here without a network."""
    masks = tmp_path / "flight_masks"
    run(red_model, flight)
    whole = content(masks)
    if lost:
        (masks / "photos.geojson").unlink()
    else:
        monkeypatch.setattr(segment_module.Segmenter, "recall", None)
    run(red_model, flight, skip=True)
    again = content(masks)
    if lost:
        assert again["without_position"][0].pop("input_shift") is None  # it is not decoded
        whole["without_position"][0].pop("input_shift")
    assert again == whole
    monkeypatch.undo()
    (masks / "1.png").unlink()
    run(red_model, flight, skip=True)
    assert content(masks)["features"] == whole["features"]


def test_a_mask_that_is_newer_than_the_file_is_read_anew(red_model: Path, flight: Path, tmp_path: Path) -> None:
    """As after a run that was killed, so that it wrote masks but no file."""
    masks = tmp_path / "flight_masks"
    run(red_model, flight, format="tif")
    record = content(masks)
    assert record["features"][1]["properties"]["mask"] == "1.tif"
    with rasterio.open(masks / "1.tif", "r+") as dataset:
        values = dataset.read(1)
        values[:, 40:] = 255 if values.max() == 255 else dataset.tags().get("water", values.max())
        dataset.write(values, 1)
    later = time.time_ns() + 10**9
    os.utime(masks / "1.tif", ns=(later, later))
    run(red_model, flight, skip=True, format="tif", foreground_value=1)
    assert content(masks)["features"][1]["properties"]["water_share"] == 0.75


def test_shares_of_several_classes_come_back_from_their_masks(tmp_path: Path, flight: Path) -> None:
    spec = red_spec(task="multiclass", class_names=("dry", "water", "mud"), label_values=(5, 0, 9))
    model = write_model(
        tmp_path / "three.onnx", spec, weights=[[0.0, 0.0, 0.0], [25.5, 0.0, 0.0], [0.0, 40.0, 0.0]],
        bias=[0.0, -12.75, -10.0],
    )  # fmt: skip
    run(model, flight)
    masks = tmp_path / "flight_masks"
    whole = content(masks)
    shares = whole["features"][1]["properties"]
    assert shares["water_share"] == 0.25 and 0 < shares["mud_share"] < 0.5
    (masks / "photos.geojson").unlink()
    run(model, flight, skip=True)
    assert content(masks)["features"] == whole["features"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OutputError("2.png: cannot be written")])
def test_a_stopped_run_leaves_what_is_done(
    fault: BaseException, red_model: Path, flight: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    write = rendering_module.write_image

    def faulty(path: Path, image: np.ndarray) -> None:
        if path.name == "2.png":
            raise fault
        write(path, image)

    monkeypatch.setattr(rendering_module, "write_image", faulty)
    with pytest.raises(type(fault)):
        run(red_model, flight)
    masks = tmp_path / "flight_masks"
    assert set(read_features(masks)) == {path.stem for path in masks.glob("[012].png")} != set()
    monkeypatch.undo()
    run(red_model, flight, skip=True)
    assert set(read_features(masks)) == {"0", "1", "2"} and not list(masks.glob(".*"))


def test_a_file_of_that_name_that_is_another_is_written_anew(red_model: Path, flight: Path, tmp_path: Path) -> None:
    run(red_model, flight)
    for text in ("", "[]", '{"features": [1]}', '{"type": "FeatureCollection", "features": []}', "\udce9"):
        (tmp_path / "flight_masks" / "photos.geojson").write_text(text, "utf-8", "surrogateescape")
        run(red_model, flight, skip=True)
        assert len(read_features(tmp_path / "flight_masks")) == 3


def test_one_photo_imports_neither_pillow_nor_the_files(red_model: Path, flight: Path) -> None:
    arguments = ["infer", "--onnx", str(red_model), "--image", str(flight / "1.jpg")]
    code = (
        f"import sys; from flood_seg.cli.main import main; main({arguments!r}); "
        "print([name for name in sys.modules if 'PIL' in name or 'photo' in name or 'products' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
