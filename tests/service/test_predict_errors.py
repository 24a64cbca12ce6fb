"""What /predict refuses, and how: never with a status of 500 or above but 503."""

from __future__ import annotations

import http.client
import io
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image
from rasterio.io import MemoryFile

from flood_seg.service.predict import GEOJSON, JSON, PNG
from flood_seg.service.problems import Problem
from flood_seg.service.routes.predict import choose_form
from tests.service.images import encode, geotiff, noise, png_header, write_models
from tests.service.running import Running, running_service

PHOTO = encode(noise(0))
FILES = {"image": ("photo.png", PHOTO)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With narrow limits."""
    folder = tmp_path_factory.mktemp("service")
    model = write_models(folder / "models")["red"]
    limits = ("body_mb=1", "files=3", "waiting=0", "concurrency=1", "timeout=5")
    words = [f"serve.limits.{one}" for one in limits]
    with running_service(folder, "--model", str(model), "max_megapixels=2", *words) as service:
        yield service


def refused(answer: httpx.Response, status: int) -> str:
    """Returns the detail of a problem."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem = answer.json()
    assert problem["status"] == status and "\n" not in problem["detail"]
    assert not re.search(r"/tmp|/work|/home|Traceback", problem["detail"])
    detail: str = problem["detail"]
    return detail


def sparse(**profile: object) -> bytes:
    with MemoryFile() as memory:
        given = {"width": 1000, "height": 1000, "count": 1, "dtype": "uint8", "sparse_ok": True, **profile}
        with memory.open(driver="GTiff", **given):
            pass
        return bytes(memory.read())


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0" * 500,
                                  b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])  # fmt: skip
def test_what_is_no_image_is_415(client: httpx.Client, data: bytes) -> None:
    assert refused(client.post("/predict", content=data), 415) == "image: not an image"


def test_a_virtual_raster_reads_no_file_of_the_server(client: httpx.Client, server: Running) -> None:
    secret = server.folder / "secret.tif"
    secret.write_bytes(geotiff(noise(0)))
    band = f"<SimpleSource><SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    bands = "".join(f'<VRTRasterBand dataType="Byte" band="{number}">{band}</VRTRasterBand>' for number in (1, 2, 3))
    virtual = f'<VRTDataset rasterXSize="96" rasterYSize="48">{bands}</VRTDataset>'.encode()
    for data in (virtual, b" " + virtual, b"<?xml version='1.0'?>" + virtual):
        for name in ("a.vrt", "a.tif", str(secret), f"/vsisubfile/0,{secret}"):
            refused(client.post("/predict", files={"image": (name, data)}), 415)
    for name in (str(secret), f"GTIFF_DIR:1:{secret}", "../secret.tif"):  # as a body
        refused(client.post("/predict", content=name.encode()), 415)


def test_damaged_images_are_422(client: httpx.Client) -> None:
    jpeg = encode(noise(0, 480, 960), "JPEG")
    assert "truncated" in refused(client.post("/predict", content=jpeg[: len(jpeg) // 2]), 422)
    assert "no raster" in refused(client.post("/predict", content=geotiff(noise(0))[:80]), 422)
    assert "truncated" in refused(client.post("/predict", content=PHOTO[:-30]), 422)


def test_too_many_pixels_are_422_before_they_are_decoded(client: httpx.Client) -> None:
    started = time.perf_counter()
    for data in (png_header(30000, 30000), sparse(width=60000, height=60000), encode(noise(0, 1000, 2008))):
        detail = refused(client.post("/predict", content=data), 422)
        assert "megapixels, more than max_megapixels=2" in detail
    detail = refused(client.post("/predict", content=sparse(count=3000, interleave="band", blockysize=1000)), 422)
    assert detail.startswith("image: its 3000 bands take 3000 MB; at most 32 MB and 1024 bands are read; send")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("options", [{}, {"big_tiff": True}])
def test_a_tiff_of_many_pages_is_refused_before_gdal_opens_each(client: httpx.Client, options: dict[str, bool]) -> None:
    page, buffer = Image.new("L", (8, 8), 100), io.BytesIO()
    page.save(buffer, "TIFF", save_all=True, append_images=[page] * 64, **options)
    assert "more than 64 pages" in refused(client.post("/predict", content=buffer.getvalue()), 422)
    few = io.BytesIO()
    pages = [Image.fromarray(noise(3)[:, :, band]) for band in range(3)]
    pages[0].save(few, "TIFF", save_all=True, append_images=pages[1:], **options)
    found = client.post("/predict", content=few.getvalue()).json()
    assert found["mask"] == client.post("/predict", content=geotiff(noise(3))).json()["mask"]


def test_wrong_bands_and_impossible_values_are_422(client: httpx.Client) -> None:
    assert "has 5 bands" in refused(client.post("/predict", content=geotiff(noise(0, bands=5))), 422)
    black = encode(np.zeros((64, 64, 3), np.uint8))
    assert "blank" in refused(client.post("/predict", content=black), 422)


def test_more_bytes_than_allowed_are_413(client: httpx.Client) -> None:
    data = PHOTO + b"\0" * 1_100_000
    expected = "the body of the request is larger than 1.07 MB, which is the most that this endpoint takes"
    assert refused(client.post("/predict", content=data), 413) == expected
    assert refused(client.post("/predict", files={"image": ("a.png", data)}), 413) == expected
    chunks = (data[place : place + 65536] for place in range(0, len(data), 65536))  # without Content-Length
    assert refused(client.post("/predict", content=chunks), 413) == expected
    assert client.post("/predict", content=PHOTO).status_code == 200


def test_a_body_without_end_is_cut_off(server: Running) -> None:
    """Each part of a chunked body is counted as it comes: the answer is there before the end of the body."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.putrequest("POST", "/predict")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    for _ in range(20):
        connection.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")
    assert connection.getresponse().status == 413
    connection.close()


def test_forms_that_cannot_be_used(client: httpx.Client) -> None:
    def send(content: bytes, kind: str) -> httpx.Response:
        return client.post("/predict", content=content, headers={"Content-Type": kind})

    assert "no image" in refused(client.post("/predict"), 422)
    wrong = {"photo": ("photo.png", PHOTO)}
    assert refused(client.post("/predict", files=wrong), 422) == (
        "the form has no file in the field image; it has photo"
    )
    assert "no file" in refused(client.post("/predict", files={"x": b"1"}, data={"image": "text"}), 422)
    two = [("image", ("a.png", PHOTO)), ("image", ("b.png", PHOTO))]
    assert refused(client.post("/predict", files=two), 422).startswith("2 images; send one, or several to")
    assert "boundary" in refused(send(PHOTO, "multipart/form-data"), 400)
    assert "cannot be read" in refused(send(PHOTO, "multipart/form-data; boundary=x"), 400)
    assert refused(client.post("/predict", files={"image": ("empty.png", b"")}), 422) == (
        "empty.png: the file is empty"
    )
    cut = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + PHOTO[:50]
    assert send(cut, "multipart/form-data; boundary=x").status_code in (400, 422)


def test_batches_have_limits(client: httpx.Client) -> None:
    four = [("images", (f"{number}.png", PHOTO)) for number in range(4)]
    assert refused(client.post("/predict/batch", files=four), 413) == "more than 3 files"
    assert "no images" in refused(client.post("/predict/batch", content=PHOTO), 422)
    assert "no file" in refused(client.post("/predict/batch", files=FILES), 422)
    large = ("images", ("large.png", PHOTO + b"\0" * 1_100_000))
    good, bad = client.post("/predict/batch", files=[four[0], large]).json()["results"]
    assert good["width"] == 96 and (bad["name"], bad["problem"]["status"]) == ("large.png", 413)


@pytest.mark.parametrize("query", ["threshold=2", "threshold=-0.1", "threshold=nan", "threshold=half", "overlay=maybe"])
def test_impossible_parameters_are_422(client: httpx.Client, query: str) -> None:
    assert query.partition("=")[0] in refused(client.post(f"/predict?{query}", files=FILES), 422)


def test_wishes_that_no_media_type_fulfils(client: httpx.Client) -> None:
    def send(query: str, accept: str) -> httpx.Response:
        return client.post(f"/predict{query}", files=FILES, headers={"Accept": accept})

    assert "is one picture" in refused(send("?overlay=true&probability=true", PNG), 422)
    assert "no pictures" in refused(send("?overlay=true", GEOJSON), 422)
    assert refused(send("", GEOJSON), 422).startswith("photo.png: is not georeferenced; send a GeoTIFF")
    assert refused(send("", "text/html"), 406) == f"Accept: give {JSON}, {PNG} or {GEOJSON}"
    local = geotiff(noise(0), crs='LOCAL_CS["site",UNIT["metre",1]]')
    answer = client.post("/predict", content=local, headers={"Accept": GEOJSON})
    assert "is not georeferenced" in refused(answer, 422)


@pytest.mark.parametrize(
    ("accept", "form"),
    [("*/*", JSON), ("", None), ("image/png", PNG), ("image/*", PNG), ("image/avif,image/webp,*/*;q=0.8", JSON),
     ("application/json;q=0.5, image/png", PNG), ("text/html, application/geo+json;q=0.1", GEOJSON),
     ("image/png;q=0", None), ("application/*", JSON), ("*/*, image/png", PNG), ("image/png;q=x", None)],
)  # fmt: skip
def test_the_media_type_is_that_which_is_preferred(accept: str, form: str | None) -> None:
    if form:
        assert choose_form(accept) == form
    else:
        with pytest.raises(Problem, match="Accept"):
            choose_form(accept)


def test_a_busy_service_refuses_with_503_and_answers_the_others(client: httpx.Client, server: Running) -> None:
    data = encode(noise(0, 1200, 1600), "JPEG", quality=95)

    def send(_: int) -> httpx.Response:
        return httpx.post(f"{server.url}/predict", content=data, timeout=60)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(32)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert refused(answer, 503).startswith("busy: 0 images are waiting")
            assert int(answer.headers["retry-after"]) >= 1
    masks = {answer.json()["mask"] for answer in answers if answer.status_code == 200}
    assert len(masks) == 1
    assert client.post("/predict", content=PHOTO).status_code == 200


def test_an_image_that_takes_too_long_is_503(tmp_path: Path) -> None:
    model = write_models(tmp_path / "models")["red"]
    data = encode(noise(0, 4000, 4000), "JPEG")
    with running_service(tmp_path, "--model", str(model), "serve.limits.timeout=0.02") as service:
        answer: Any = httpx.post(f"{service.url}/predict", content=data, timeout=60)
        if answer.status_code != 408:  # on a slow machine, the upload alone takes longer
            assert refused(answer, 503) == "not done within 0.02 seconds; try again later"
        assert service.stop() == 0
    assert "Traceback" not in service.output
