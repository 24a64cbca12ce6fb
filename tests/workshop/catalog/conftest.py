"""A catalogue on this machine: a STAC API server, and a web server of Cloud Optimized GeoTIFFs."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sysconfig
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

RUSTAC = Path(sysconfig.get_path("scripts")) / "rustac"
LEFT, TOP = 699_960, 5_600_040  # of a tile of Sentinel-2 in UTM 32N, at 12° E, where zone 33 begins
TOKEN = "sig=secret"


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves files, or the range of them that is asked for, and counts the bytes; `signed/` requires a token."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/token/"):
            return self._send(
                200, f'{{"token": "{TOKEN if path.endswith("l2a") else "sig=old_secret"}"}}'.encode(), {}, body
            )
        file = Path(self.directory) / path.lstrip("/")
        if path.startswith("/signed/") and query != TOKEN:
            return self._send(403, b"no token", {}, body)
        if not file.is_file():
            return self._send(404, b"not found", {}, body)
        data, found = file.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not found:
            return self._send(200, data, {}, body)
        first, last = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
        time.sleep(self.server.files.delay)
        content_range = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return self._send(206, data[first : last + 1], content_range, body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in ({"Accept-Ranges": "bytes", "Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.server.files.sent[self.path.partition("?")[0]] += len(data)
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class FileServer:
    """A web server of a folder, in a thread.

    Attributes:
        folder: what is served.
        url: the address of the folder.
        sent: bytes by path.
        delay: seconds before an answer with a part of a file.
    """

    folder: Path
    url: str = ""
    sent: Counter[str] = field(default_factory=Counter)
    delay: float = 0

    def __enter__(self) -> FileServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=str(self.folder)))
        self._server.files = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def write_cog(path: Path, values: np.ndarray, left: float = LEFT, top: float = TOP, pixel: float = 10,
              crs: str = "EPSG:32632", nodata: float | None = 0) -> Path:  # fmt: skip
    """Writes [H, W] or [bands, H, W] as a COG of blocks of 256 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = values if values.ndim == 3 else values[None]
    with rasterio.open(
        path, "w", driver="COG", count=len(bands), height=bands.shape[1], width=bands.shape[2], dtype=bands.dtype,
        crs=crs, transform=from_origin(left, top, pixel, pixel), nodata=nodata, blocksize=256, compress="deflate",
    ) as out:  # fmt: skip
        out.write(bands)
    return path


def item(
    name: str, when: str, assets: dict[str, tuple[Path, str]], collection: str = "sentinel-2-l2a", **properties: object
) -> dict:
    """A STAC Item whose outline is that of its first file; `assets` are files and their addresses."""
    with rasterio.open(next(iter(assets.values()))[0]) as first:
        west, south, east, north = transform_bounds(first.crs, "EPSG:4326", *first.bounds, densify_pts=21)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection, "links": [],
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [west, south, east, north],
        "properties": {"datetime": when, "platform": "sentinel-2a"} | properties,
        "assets": {key: {"href": href} for key, (_, href) in assets.items()},
    }  # fmt: skip


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class StacServer:
    """`rustac serve` with items, until it is closed."""

    def __init__(self, folder: Path, items: list[dict]) -> None:
        file, port = folder / "items.json", free_port()
        file.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        self.url = f"http://127.0.0.1:{port}"
        command = [str(RUSTAC), "serve", "--addr", f"127.0.0.1:{port}", "--create-collections", str(file)]
        with (folder / "rustac.log").open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(200):
            try:
                urlopen(self.url, timeout=5).close()
                return
            except OSError:
                time.sleep(0.05)
        self.close()
        raise RuntimeError((folder / "rustac.log").read_text())

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


@dataclass(frozen=True)
class World:
    """A catalogue, its files, and what is in them.

    Attributes:
        url: of the STAC API.
        files: the web server.
        folder: of the files.
    """

    url: str
    files: FileServer
    folder: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory):
    """Four dates of July 2021.

    The 15th: one tile of noise, 10 % clouds, and its classes at 20 m. The 10th: the same in clouds. The 18th: two tiles
    on both sides of 12° E, whose values tell longitude and latitude. The 20th: nir.tif is cut off, blue.tif is missing.
    """
    folder = tmp_path_factory.mktemp("catalogue")
    random = np.random.default_rng(0)
    with FileServer(folder) as files:

        def asset(path: Path) -> tuple[Path, str]:
            return path, f"{files.url}/{path.relative_to(folder)}"

        noise = {band: random.integers(1, 10_000, (1024, 1024), np.uint16) for band in ("blue", "green", "red", "nir")}
        noise["nir"][:300, :300] = 0
        tile = {band: asset(write_cog(folder / f"tile/{band}.tif", values)) for band, values in noise.items()}
        classes = random.integers(1, 12, (512, 512)).astype(np.uint8)
        tile["scl"] = asset(write_cog(folder / "tile/scl.tif", classes, pixel=20))
        broken = {"red": tile["red"]}
        for band in ("nir", "blue"):
            path = folder / f"broken/{band}.tif"
            path.parent.mkdir(exist_ok=True)
            broken[band] = asset(path)
        (folder / "broken/nir.tif").write_bytes((folder / "tile/nir.tif").read_bytes()[:1_200_000])
        applied = {"s2:processing_baseline": "05.00", "earthsearch:boa_offset_applied": True}
        signed = {"red": asset(write_cog(folder / "signed/red.tif", noise["red"]))}
        photo = random.integers(0, 255, (4, 300, 400), np.uint8)
        drone = {"image": asset(write_cog(folder / "drone/image.tif", photo, pixel=0.5, nodata=None))}
        stored = {"red": (folder / "tile/red.tif", "s3://eodata/red.tif")}
        items = [
            item("drone", "2021-07-15T12:00:00Z", drone, "drone"),
            item("stored", "2024-07-15T10:36:29Z", stored, **applied),
            item("clear", "2021-07-15T10:36:29Z", tile, **applied, **{"eo:cloud_cover": 10}),
            item("cloudy", "2021-07-10T10:36:29Z", tile, **applied, **{"eo:cloud_cover": 80}),
            item("new_baseline", "2022-07-15T10:36:29Z", tile, **{"s2:processing_baseline": "04.00"}),
            item("old_baseline", "2019-07-15T10:36:29Z", tile, **{"s2:processing_baseline": "02.14"}),
            item("broken", "2021-07-20T10:36:29Z", broken, **applied),
            item("signed", "2023-07-20T10:36:29Z", signed, **applied),
            *(
                item(f"zone{zone}", f"2021-07-18T10:36:{zone}Z", _places(folder, zone, asset), **applied)
                for zone in (32, 33)
            ),
        ]
        server = StacServer(folder, items)
        try:
            yield World(server.url, files, folder)
        finally:
            server.close()


def _places(folder: Path, zone: int, asset) -> dict[str, tuple[Path, str]]:
    """Two bands whose values are the longitude and the latitude of each pixel, on one side of 12° E."""
    left = {32: 704_960, 33: 283_000}[zone]
    transform, crs = from_origin(left, TOP, 10, 10), f"EPSG:326{zone}"
    cols, rows = np.meshgrid(np.arange(1024), np.arange(1024))
    xs, ys = rasterio.transform.xy(transform, rows.ravel(), cols.ravel())
    longitudes, latitudes = rasterio.warp.transform(crs, "EPSG:4326", xs, ys)
    east, north = (np.array(one).reshape(1024, 1024) for one in (longitudes, latitudes))
    bands = {"red": (east - 11) * 10_000, "green": (north - 50) * 10_000}
    here = east < 12.01 if zone == 32 else east > 11.99
    return {
        band: asset(write_cog(folder / f"zone{zone}/{band}.tif", np.where(here, values, 0).round().astype(np.uint16),
                              left, crs=crs))
        for band, values in bands.items()
    }  # fmt: skip
