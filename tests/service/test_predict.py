"""What /predict answers, against the Python API as the independent truth."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from rasterio.features import rasterize
from rasterio.warp import transform_geom

import flood_seg
from flood_seg.imaging.postprocess import to_16_bits
from flood_seg.service.routes.predict import Prediction
from tests.conftest import draw_pond
from tests.service.images import PLACE, decode, encode, geotiff, noise, write_models
from tests.service.running import Running, running_service


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, flood_seg.Model]:
    """See `write_models`, loaded in this process."""
    files = write_models(tmp_path_factory.mktemp("models"))
    return {name: flood_seg.load_model(file) for name, file in files.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("service")
    files = ", ".join(f"{name}: {file}" for name, file in write_models(folder / "models").items())
    with running_service(folder, f"serve.models={{{files}}}") as service:
        yield service


def predict(client: httpx.Client, data: bytes, name: str = "pond.jpg", **query: str | float) -> dict[str, Any]:
    answer = client.post("/predict", files={"image": (name, data)}, params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
    return Prediction.model_validate_json(answer.content).model_dump()


def test_the_answer_is_what_the_python_api_predicts(client: httpx.Client, models: dict[str, flood_seg.Model]) -> None:
    data = encode(draw_pond(3)[0], "JPEG")
    expected = models["red"].predict(data)
    found = predict(client, data)
    assert np.array_equal(decode(found["mask"]), expected.mask * 255)
    assert found["shares"] == expected.shares and 0 < found["shares"]["water"] < 1
    timings = found.pop("timings_ms")
    assert found | {"mask": ""} == {
        "model": "red", "engine": models["red"].description, "name": "pond.jpg", "width": 80, "height": 64,
        "classes": ["background", "water"], "shares": expected.shares, "nodata_share": 0.0, "threshold": 0.5,
        "input_shift": round(expected.input_shift, 3), "warnings": [], "missing": {}, "mask": "",
        "probability": None, "overlay": None,
    }  # fmt: skip
    parts = [timings[name] for name in ("decode", "wait", "model", "postprocess", "encode")]
    assert min(parts) >= 0 and timings["model"] > 0 and sum(parts) <= timings["total"] + 0.05


def test_a_raw_body_a_form_and_curls_default_type_are_the_same(client: httpx.Client) -> None:
    data = encode(draw_pond(4)[0])
    mask = predict(client, data)["mask"]
    for kind in ("image/png", "application/x-www-form-urlencoded", "text/plain", ""):
        answer = client.post("/predict", content=data, headers={"Content-Type": kind} if kind else {})
        assert answer.json()["mask"] == mask and answer.json()["name"] == "image"
    chunks = (data[place : place + 100] for place in range(0, len(data), 100))
    assert client.post("/predict", content=chunks).json()["mask"] == mask


def test_threshold_probability_and_overlay(client: httpx.Client, models: dict[str, flood_seg.Model]) -> None:
    data = encode(noise(0))
    expected = models["red"].predict(data)
    found = predict(client, data, threshold=0.9, probability=True, overlay=True)
    assert found["threshold"] == 0.9
    probability = decode(found["probability"])
    assert probability.dtype in (np.uint16, np.int32)
    assert np.array_equal(probability, to_16_bits(expected.probability))
    mask = decode(found["mask"]) > 0
    assert np.array_equal(mask, expected.probability > 0.9) and mask.sum() < expected.mask.sum()
    assert found["shares"]["water"] == pytest.approx(mask.mean())
    plain = predict(client, data, overlay=True)
    assert np.array_equal(decode(plain["overlay"]), expected.overlay)


def test_png_is_the_mask_or_what_is_asked_for(client: httpx.Client, models: dict[str, flood_seg.Model]) -> None:
    data = encode(noise(1))
    expected = models["red"].predict(data)
    wanted = {"": expected.mask * 255, "?overlay=true": expected.overlay,
              "?probability=true": to_16_bits(expected.probability)}  # fmt: skip
    for (query, pixels), kind in zip(wanted.items(), ("mask", "overlay", "probability"), strict=True):
        answer = client.post(
            f"/predict{query}", files={"image": ("über/Fluß 1.jpg", data)}, headers={"Accept": "image/png"}
        )
        assert answer.headers["content-type"] == "image/png"
        assert np.array_equal(decode(answer.content), pixels)
        assert answer.headers["content-disposition"] == f"inline; filename*=utf-8''Flu%C3%9F%201_{kind}.png"
        assert answer.headers["flood-seg-input-shift"] == str(round(expected.input_shift, 3))
        assert re.fullmatch(r"(\w+;dur=[\d.]+, ){5}total;dur=[\d.]+", answer.headers["server-timing"])


def test_polygons_cover_the_mask(client: httpx.Client, models: dict[str, flood_seg.Model]) -> None:
    pixels = noise(5)
    data = geotiff(pixels)
    answer = client.post("/predict", content=data, headers={"Accept": "application/geo+json"})
    assert answer.headers["content-type"] == "application/geo+json"
    found = answer.json()
    assert found["type"] == "FeatureCollection" and found["model"] == "red" and found["warnings"] == []
    mask = models["red"].predict(data).mask
    shapes = [transform_geom("EPSG:4326", PLACE["crs"], one["geometry"]) for one in found["features"]]
    drawn = rasterize(shapes, mask.shape, transform=PLACE["transform"], dtype="uint8")
    assert np.array_equal(drawn, mask) and 0 < mask.mean() < 1
    area = sum(one["properties"]["area_m2"] for one in found["features"])
    assert area == pytest.approx(mask.sum() * 100, rel=2e-3)  # geodesic; UTM's scale is 0.9996 here
    assert all(one["properties"]["mean_probability"] > 0.5 for one in found["features"])


def test_several_classes(client: httpx.Client, models: dict[str, flood_seg.Model]) -> None:
    data = encode(noise(6))
    expected = models["classes"].predict(data)
    found = predict(client, data, model="classes")
    assert np.array_equal(decode(found["mask"]), np.array([0, 7, 9])[expected.mask])
    assert found["classes"] == ["land", "road", "water"] and found["shares"] == expected.shares
    assert found["threshold"] is None
    for query, what in (({"threshold": 0.4}, "threshold"), ({"probability": True}, "probability")):
        answer = client.post("/predict", content=data, params={"model": "classes", **query})
        assert answer.status_code == 422 and answer.json()["detail"].startswith(f"{what}: ")
    place = client.post(
        "/predict?model=classes", content=geotiff(noise(6)), headers={"Accept": "application/geo+json"}
    ).json()
    assert {one["properties"]["class"] for one in place["features"]} == {"road", "water"}


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_four_bands_with_pixels_without_data(
    client: httpx.Client, models: dict[str, flood_seg.Model], kind: type
) -> None:
    pixels: np.ndarray = noise(7, bands=4, top=10000).astype(kind)
    pixels[:8] = 0
    data = geotiff(pixels, nodata=0)
    expected = models["nir"].predict(data)
    found = predict(client, data, "S2.tif", model="nir")
    mask = decode(found["mask"])
    assert np.array_equal(mask, expected.mask * 255) and not mask[:8].any() and mask.any()
    assert found["nodata_share"] == pytest.approx((pixels == 0).any(axis=2).mean())


def test_a_band_that_may_be_missing_is_told(client: httpx.Client) -> None:
    found = predict(client, geotiff(noise(8, top=10000), photometric="RGB"), model="maybe")
    assert found["missing"] == {"nir": 1.0}
    refused = client.post("/predict?model=nir", content=geotiff(noise(8, top=10000)))
    assert refused.status_code == 422 and "has 3 bands" in refused.json()["detail"]


def test_photos_are_turned_upright(client: httpx.Client, models: dict[str, flood_seg.Model]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(draw_pond(9)[0], "JPEG", exif=exif)
    expected = models["red"].predict(data)
    found = predict(client, data)
    assert (found["width"], found["height"]) == (64, 80)
    assert np.array_equal(decode(found["mask"]), expected.mask * 255)


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP", "PPM", "JPEG2000", "AVIF"])
def test_other_formats(client: httpx.Client, models: dict[str, flood_seg.Model], form: str) -> None:
    data = encode(noise(2), form)
    assert np.array_equal(decode(predict(client, data)["mask"]), models["red"].predict(data).mask * 255)


def test_requests_at_once_get_each_its_own_mask(client: httpx.Client, models: dict[str, flood_seg.Model]) -> None:
    photos = [encode(noise(seed, 64, 64 + 8 * (seed % 5))) for seed in range(16)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda data: predict(client, data), photos))
    for answer, data in zip(found, photos, strict=True):
        assert np.array_equal(decode(answer["mask"]), models["red"].predict(data).mask * 255)


def test_what_is_unusual_is_a_warning_in_infers_words(client: httpx.Client) -> None:
    bright = np.full((64, 64, 3), 250, np.uint8)
    bright[:8] = 200
    found = predict(client, encode(bright), model="red")
    assert found["input_shift"] < 2 and found["warnings"] == []  # mean 0, std 1
    large = np.zeros((8, 400, 3), np.uint8)
    large[:, 100:] = 180
    found = predict(client, geotiff(large), model="red")
    assert found["warnings"] == [
        "400×8 is reduced 6 times to the network's size; flood-seg map segments scenes by windows"
    ]


def test_a_batch_has_one_result_or_problem_each(client: httpx.Client, models: dict[str, flood_seg.Model]) -> None:
    photos = [encode(noise(seed)) for seed in range(3)]
    files = [("a.png", photos[0]), ("b.txt", b"no image"), ("c/../c.png", photos[1]), ("d.png", photos[2][:60])]
    answer = client.post("/predict/batch?threshold=0.7", files=[("images", file) for file in files])
    assert answer.status_code == 200
    first, text, third, cut = answer.json()["results"]
    for found, data in ((first, photos[0]), (third, photos[1])):
        assert np.array_equal(decode(found["mask"]) > 0, models["red"].predict(data).probability > 0.7)
    assert [first["name"], text["name"], third["name"], cut["name"]] == ["a.png", "b.txt", "c.png", "d.png"]
    assert text["problem"] == {
        "type": "about:blank", "title": "Unsupported Media Type", "status": 415, "detail": "b.txt: not an image"
    }  # fmt: skip
    assert cut["problem"]["status"] == 422 and "truncated" in cut["problem"]["detail"]


def test_images_are_counted(client: httpx.Client) -> None:
    def count(name: str) -> float:
        text = client.get("/metrics").text
        (value,) = re.findall(rf"^flood_seg_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(value)

    names = ['images_total{model="red"}', 'pixels_total{model="red"}', 'model_seconds_count{model="red"}',
             'class_share_count{class_name="water",model="red"}', "batch_size_count", "batch_size_sum"]  # fmt: skip
    predict(client, encode(noise(1)))
    before = [count(name) for name in names]
    client.post("/predict/batch", files=[("images", ("a.png", encode(noise(1)))), ("images", ("b", b"no image"))])
    assert [count(name) - old for name, old in zip(names, before, strict=True)] == [1, 48 * 96, 1, 1, 1, 2]
    assert count("predictions_waiting") == 0


def test_models_are_described(client: httpx.Client, server: Running) -> None:
    listed = client.get("/models").json()["models"]
    assert [one["name"] for one in listed] == ["red", "classes", "nir", "maybe"]
    one = client.get("/models/nir").json()
    assert one in listed and one["spec"]["bands"] == ["red", "green", "blue", "nir"]
    file = server.folder / "models" / "nir.onnx"
    assert one["spec"] == json.loads(json.dumps(asdict(flood_seg.load_model(file).spec)))
    assert client.get("/models/nri").status_code == 404
    assert client.post("/predict?model=nri", content=encode(noise(1))).json()["detail"] == (
        "model nri: is not served (did you mean 'nir'?); served are red, classes, nir, maybe"
    )
