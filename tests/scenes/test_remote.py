"""`flood-seg map` from and to S3, from a web server and from STAC documents; servers on loopback."""

from __future__ import annotations

import io
import json
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
from rasterio.transform import from_origin

from flood_seg.cli.main import main
from flood_seg.errors import DataError, ImageError, StoreError
from flood_seg.imaging.bands import RGB, BandSelection
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.object_store import ObjectFolder, fingerprint
from flood_seg.scenes.grid import Block, Box
from flood_seg.scenes.inputs import find_scenes
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.stac_input import AssetChoice
from flood_seg.scenes.store import BlockStore
from flood_seg.scenes.stream import BlockResult
from tests.scenes.conftest import write_scene
from tests.servers import RangeServer, range_server, s3_server

BANDS = BandSelection(RGB, {}, 255.0, None)


def noise(height: int = 150, width: int = 200, seed: int = 3, bands: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (height, width, bands), np.uint8)


class Bucket:
    """A bucket, read and written by boto3."""

    def __init__(self, server: Any, client: Any, name: str) -> None:
        self.server, self.client, self.name = server, client, name

    def put(self, key: str, content: bytes | Path) -> None:
        body = content if isinstance(content, bytes) else content.read_bytes()
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def list(self) -> list[str]:
        return sorted(one["Key"] for one in self.client.list_objects_v2(Bucket=self.name).get("Contents", []))

    def vanish(self) -> None:
        for key in self.list():
            self.client.delete_object(Bucket=self.name, Key=key)
        self.client.delete_bucket(Bucket=self.name)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(
    server: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Bucket]:
    import boto3

    for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING"):
        monkeypatch.setenv(name, "")  # so that they are restored
        monkeypatch.delenv(name)
    keys = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "something", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (keys | {"AWS_ENDPOINT_URL": server.url}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    import_rasterio.cache_clear()
    client = boto3.client("s3", endpoint_url=server.url)
    name = f"floods-{abs(hash(request.node.name)) % 10**9}"
    client.create_bucket(Bucket=name)
    yield Bucket(server, client, name)
    import_rasterio.cache_clear()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[RangeServer]:
    (tmp_path / "web").mkdir()
    with range_server(tmp_path / "web") as running:
        yield running


def run(model: Path, image: Path | str, out: Path | str, *overrides: str) -> int:
    try:
        main(["map", "--model", str(model), "--image", str(image), "--out", str(out), "map.block_size=128",
              "map.vectors=[]", "map.page=false", *overrides])  # fmt: skip
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def choice(tmp_path: Path, *keys: str, bands: tuple[str, ...] = RGB) -> AssetChoice:
    return AssetChoice(keys, bands, tmp_path / "stac")


def test_scenes_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    for key in ("in/a.tif", "in/b.tif", "in/notes.txt", "in/2026/c.tif", "in/2026/05/d.tif"):
        bucket.put(key, b"x")

    def found(pattern: str) -> list[str]:
        scenes = find_scenes(f"s3://{bucket.name}/{pattern}", Path("out"), choice(tmp_path))
        return [str(path).removeprefix(f"/vsis3/{bucket.name}/in/") for path in scenes]

    assert found("in") == found("in/") == found("in/*") == found("i?/[ab].tif") == ["a.tif", "b.tif"]
    assert found("in/**/*.tif") == ["2026/05/d.tif", "2026/c.tif", "a.tif", "b.tif"]
    assert found("in/*/*.tif") == ["2026/c.tif"]
    assert found("in/a.tif") == ["a.tif"]
    with pytest.raises(DataError, match="no scenes found"):
        found("in/*.jp2")
    with pytest.raises(StoreError, match="bucket does not exist"):
        find_scenes("s3://missing-bucket/*.tif", None, choice(tmp_path))


def test_from_and_to_a_bucket(
    bucket: Bucket, smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = write_scene(tmp_path / "scene.tif", noise())
    bucket.put("in/scene.tif", local)
    address, out = f"s3://{bucket.name}/in/scene.tif", f"s3://{bucket.name}/maps/scene"
    assert run(smoothing_model, local, tmp_path / "expected") == 0
    assert run(smoothing_model, address, out) == 0
    assert bucket.list() == ["in/scene.tif", *(f"maps/scene/{name}" for name in
                                               ("item.json", "mask.tif", "probability.tif"))]  # fmt: skip
    for name in ("mask.tif", "probability.tif"):
        assert bucket.get(f"maps/scene/{name}") == (tmp_path / "expected" / name).read_bytes()
    item = pystac.Item.from_dict(json.loads(bucket.get("maps/scene/item.json")))
    assert item.id == "scene"
    assert item.assets["scene"].href == address
    size, tag = item.properties["flood_seg:signature"]["input"][address]
    assert size == local.stat().st_size and tag
    assert not list(tmp_path.glob("outputs/.maps/**/*.tif"))
    capsys.readouterr()
    assert run(smoothing_model, address, out) == 0
    assert f"{out}: skipped, it is complete" in capsys.readouterr().out
    bucket.put("in/scene.tif", write_scene(tmp_path / "other.tif", noise(seed=9)))
    before = bucket.get("maps/scene/mask.tif")
    assert run(smoothing_model, address, out, "map.probability=none") == 0
    assert bucket.get("maps/scene/mask.tif") != before
    assert "maps/scene/probability.tif" not in bucket.list()  # of the earlier result


def test_an_archive_in_a_bucket(
    bucket: Bucket, smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("a", "b", "later/c")):
        scene = write_scene(tmp_path / "scene.tif", noise(seed=seed))
        bucket.put(f"in/{name}.tif", scene)
    bucket.put("in/broken.tif", b"II*\0 no tiff")
    source, out = f"s3://{bucket.name}/in", f"s3://{bucket.name}/maps"
    assert run(smoothing_model, f"{source}/*.tif", out) == 2
    assert "1 of 3 scenes" in capsys.readouterr().err
    assert run(smoothing_model, f"{source}/later/c.tif", out) == 0  # one scene, to an archive
    collection = json.loads(bucket.get("maps/collection.json"))
    assert [link["href"] for link in collection["links"] if link["rel"] == "item"] == [
        f"./{name}/item.json" for name in "abc"
    ]
    assert json.loads(bucket.get("maps/c/item.json"))["collection"] == collection["id"] == "maps"
    table = pq.read_table(io.BytesIO(bucket.get("maps/index.parquet")))
    for row in table.to_pylist():
        item = json.loads(bucket.get(f"maps/{row['id']}/item.json"))
        assert row["flood_seg:area_m2"] == item["properties"]["flood_seg:area_m2"]
    before = bucket.get("maps/index.parquet")
    assert run(smoothing_model, f"{source}/later/c.tif", out) == 0
    assert bucket.get("maps/index.parquet") == before


@pytest.mark.parametrize("count", [1, 3])
def test_a_bucket_that_vanishes(
    count: int,
    bucket: Bucket, smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "scenes").mkdir()
    for number in range(count):
        scene = write_scene(tmp_path / "scenes" / f"{number}.tif", noise(seed=number))
    image = scene if count == 1 else scene.parent
    out = f"s3://{bucket.name}/maps"
    write = ObjectFolder.write

    def vanishing(self: ObjectFolder, *args: Any) -> None:
        monkeypatch.setattr(ObjectFolder, "write", write)
        bucket.vanish()
        write(self, *args)

    monkeypatch.setattr(ObjectFolder, "write", vanishing)
    assert run(smoothing_model, image, out) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "bucket" in line]
    assert len(lines) == 1 and "cannot be written" in lines[0]
    assert "bucket does not exist" in lines[0] and "the same command uploads them" in lines[0]
    bucket.client.create_bucket(Bucket=bucket.name)
    assert run(smoothing_model, image, out) == 0
    assert capsys.readouterr().out.count("is uploaded, it is complete") == 1  # it was not computed again
    assert len(bucket.list()) == (3 if count == 1 else 3 * count + 2)


def test_an_upload_that_is_stopped_leaves_no_old_item_beside_new_layers(
    bucket: Bucket, smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    scene, out = write_scene(tmp_path / "scene.tif", noise()), f"s3://{bucket.name}/maps"
    assert run(smoothing_model, scene, out) == 0
    old = bucket.get("maps/mask.tif")
    write = ObjectFolder.write

    def stopped(self: ObjectFolder, name: str, *args: Any) -> None:
        write(self, name, *args)
        raise KeyboardInterrupt

    options = ("threshold=0.9", "map.probability=none")
    with monkeypatch.context() as patch:
        patch.setattr(ObjectFolder, "write", stopped)
        assert run(smoothing_model, scene, out, *options) == 130
    assert bucket.get("maps/mask.tif") != old
    assert "maps/item.json" not in bucket.list()
    capsys.readouterr()
    assert run(smoothing_model, scene, out, *options) == 0
    assert "is uploaded, it is complete" in capsys.readouterr().out
    assert bucket.list() == ["maps/item.json", "maps/mask.tif"]


def test_another_machine_goes_on(
    bucket: Bucket, smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    scene = write_scene(tmp_path / "scene.tif", noise(600, 600))
    assert run(smoothing_model, scene, tmp_path / "expected") == 0
    out, shared = f"s3://{bucket.name}/maps", "map.share_blocks=true"
    save, saved = BlockStore.save, list[str]()

    def failing(self: BlockStore, block: Block, result: BlockResult) -> None:
        if len(saved) == 20:
            raise KeyboardInterrupt
        saved.append(str(block))
        save(self, block, result)

    monkeypatch.setattr(BlockStore, "save", failing)
    assert run(smoothing_model, scene, out, shared) == 130
    assert len(bucket.list()) == 21
    assert "maps/.blocks/signature.json" in bucket.list()
    shutil.rmtree(tmp_path / "outputs")  # the machine is lost
    again = list[str]()
    monkeypatch.setattr(
        BlockStore, "save", lambda self, block, result: (again.append(str(block)), save(self, block, result))
    )
    assert run(smoothing_model, scene, out, shared) == 0
    assert len(again) > 5 and not set(again) & set(saved)
    assert bucket.list() == ["maps/item.json", "maps/mask.tif", "maps/probability.tif"]
    assert bucket.get("maps/mask.tif") == (tmp_path / "expected" / "mask.tif").read_bytes()


def test_faults_are_one_line(
    bucket: Bucket, smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    scene = write_scene(tmp_path / "scene.tif", noise())
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    for image, out, message in (
        (scene, "s3://missing-bucket/maps", "bucket does not exist"),
        (f"s3://{bucket.name}/missing.tif", tmp_path / "a", f"s3://{bucket.name}/missing.tif"),
        (f"{nowhere}/scene.tif", tmp_path / "b", f"{nowhere}/scene.tif"),
        (f"{nowhere}/item.json", tmp_path / "c", "cannot be read as a STAC item"),
    ):
        assert run(smoothing_model, image, out) == 2
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 1 and message in errors[0], errors
    monkeypatch.setenv("AWS_ENDPOINT_URL", nowhere)
    assert run(smoothing_model, scene, f"s3://{bucket.name}/maps") == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and "the server does not respond" in errors[0]


def test_a_window_does_not_fetch_the_file(web: RangeServer, tmp_path: Path) -> None:
    image = noise(4096, 4096)
    plain = write_scene(tmp_path / "plain.tif", image)
    cog = web.folder / "scene.tif"
    rasterio.shutil.copy(plain, cog, driver="COG", compress="deflate")
    [path] = find_scenes(f"{web.url}/scene.tif", Path("out"), choice(tmp_path))
    with Scene.open(path, BANDS) as scene:
        assert scene.name == "scene"
        read = scene.read(Box(1000, 1500, 512, 512)).values
    assert np.array_equal(read, image[1000:1512, 1500:2012])
    assert web.sent["scene.tif"] < cog.stat().st_size / 8  # at most 4 of 64 tiles of 512 pixels
    assert set(web.sent) == {"scene.tif"}  # no file beside it was looked for


def test_fingerprints(web: RangeServer, bucket: Bucket) -> None:
    for address in (f"{web.url}/a.tif", f"s3://{bucket.name}/a.tif"):
        (web.folder / "a.tif").write_bytes(b"one")
        bucket.put("a.tif", b"one")
        first = fingerprint(address)
        assert first and first[0] == 3 and first == fingerprint(address)
        (web.folder / "a.tif").write_bytes(b"two")
        bucket.put("a.tif", b"two")
        assert fingerprint(address) not in (None, first)
        assert fingerprint(f"{address}.missing") is None


def sentinel(folder: Path, base: str, name: str = "S2_A", seed: int = 0) -> pystac.Item:
    """Writes an item as those of Sentinel-2: a file per band, two of them at half the resolution."""
    item = pystac.Item(name, {"type": "Point", "coordinates": [9, 45]}, [9, 45, 9, 45],
                       datetime(2026, 5, 1, tzinfo=UTC), {})  # fmt: skip
    names = {"B02": "blue", "B03": "green", "B04": "red", "B11": "swir16"}
    for number, (key, common) in enumerate(names.items()):
        step = 2 if key == "B11" else 1
        image = (noise(160 // step, 240 // step, seed + number, 1).astype(np.uint16)) * 20
        write_scene(folder / f"{name}_{key}.tif", image, nodata=0,
                    transform=from_origin(500_000, 5_000_000, 10 * step, 10 * step))  # fmt: skip
        fields = {"eo:bands": [{"name": key, "common_name": common}]}
        item.add_asset(key, pystac.Asset(f"{base}/{name}_{key}.tif", media_type="image/tiff; application=geotiff",
                                         roles=["data"], extra_fields=fields))  # fmt: skip
    item.add_asset("thumbnail", pystac.Asset(f"{base}/{name}.jpg", media_type="image/jpeg", roles=["thumbnail"]))
    (folder / f"{name}.json").write_text(json.dumps(item.to_dict(include_self_link=False)))
    return item


def test_an_item_with_a_file_per_band(web: RangeServer, tmp_path: Path) -> None:
    sentinel(web.folder, ".")  # relative to the item
    bands = ("red", "green", "blue", "swir16")
    scenes = find_scenes(f"{web.url}/S2_A.json", None, choice(tmp_path, bands=bands))
    assert list(scenes.values()) == [Path("S2_A_map")]
    [path] = scenes
    with Scene.open(path, BandSelection(bands, {}, 10_000.0, None)) as scene:
        assert (scene.name, scene.source) == ("S2_A", f"{web.url}/S2_A.json")
        assert (scene.height, scene.width, scene.ground_sample_distance) == (160, 240, 10)
        assert scene.time == datetime(2026, 5, 1, tzinfo=UTC)
        values = scene.read(Box(0, 0, 160, 240)).values
    for number, key in enumerate(("B04", "B03", "B02")):
        with rasterio.open(web.folder / f"S2_A_{key}.tif") as source:
            assert np.array_equal(values[:, :, number], source.read(1))
    with rasterio.open(web.folder / "S2_A_B11.tif") as source:
        coarse = source.read(1).astype(float)
    assert np.corrcoef(values[::2, ::2, 3].ravel(), coarse.ravel())[0, 1] > 0.7
    written = path.stat().st_mtime_ns
    find_scenes(f"{web.url}/S2_A.json", None, choice(tmp_path, bands=bands))
    assert path.stat().st_mtime_ns == written
    sentinel(web.folder, ".", seed=50)
    find_scenes(f"{web.url}/S2_A.json", None, choice(tmp_path, bands=bands))
    assert path.stat().st_mtime_ns > written  # so that the scene is computed anew


def test_assets_of_an_item(web: RangeServer, tmp_path: Path) -> None:
    sentinel(web.folder, web.url)
    text = str(web.folder / "S2_A.json")
    [path] = find_scenes(text, None, choice(tmp_path, "B03", "B11"))
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("B03", "B11")
    with pytest.raises(DataError, match="no asset has the band nir; set map.assets to some of B02"):
        find_scenes(text, None, choice(tmp_path, bands=("red", "nir")))
    with pytest.raises(DataError, match="has no asset B99"):
        find_scenes(text, None, choice(tmp_path, "B99"))


def test_bands_of_an_asset_by_number(tmp_path: Path) -> None:
    image = noise(bands=4)
    write_scene(tmp_path / "image.tif", image)
    item = pystac.Item("photo", None, None, datetime(2026, 5, 1, tzinfo=UTC), {})
    item.add_asset("drone:image", pystac.Asset("image.tif", media_type="image/tiff; application=geotiff"))
    text = str(tmp_path / "photo.json")
    Path(text).write_text(json.dumps(item.to_dict(include_self_link=False)))
    [path] = find_scenes(text, None, choice(tmp_path, "drone:image:4", "drone:image:2"))
    with rasterio.open(path) as dataset:
        assert np.array_equal(np.moveaxis(dataset.read(), 0, 2), image[:, :, [3, 1]])
    [path] = find_scenes(text, None, choice(tmp_path, "drone:image"))
    with rasterio.open(path) as dataset:
        assert dataset.count == 4
    for number in (0, 5):
        with pytest.raises(ImageError, match=f"has no band {number}"):
            find_scenes(text, None, choice(tmp_path, f"drone:image:{number}"))
    with pytest.raises(DataError, match="has no asset drone:photo; map.assets may be drone:image"):
        find_scenes(text, None, choice(tmp_path, "drone:photo:1"))


def test_collections_of_items(web: RangeServer, bucket: Bucket, tmp_path: Path) -> None:
    items = [sentinel(web.folder, web.url, name) for name in ("S2_A", "S2_B")]
    names = {Path("out/S2_A"), Path("out/S2_B")}
    (web.folder / "found.json").write_text(json.dumps(pystac.ItemCollection(items).to_dict()))
    (web.folder / "search").write_text((web.folder / "found.json").read_text())  # of an API, without a suffix
    for text in (web.folder / "found.json", f"{web.url}/found.json", f"{web.url}/search"):
        assert set(find_scenes(str(text), Path("out"), choice(tmp_path)).values()) == names
    catalog = pystac.Catalog("all", "all of them")
    catalog.add_items(items)
    catalog.normalize_and_save(str(tmp_path / "catalog"), pystac.CatalogType.SELF_CONTAINED)
    for file in (tmp_path / "catalog").rglob("*.json"):
        bucket.put(f"c/{file.relative_to(tmp_path / 'catalog')}", file)
    for text in (tmp_path / "catalog" / "catalog.json", f"s3://{bucket.name}/c/catalog.json"):
        assert set(find_scenes(str(text), Path("out"), choice(tmp_path)).values()) == names
    with pytest.raises(DataError, match="does not exist"):
        find_scenes(f"s3://{bucket.name}/c/none.json", None, choice(tmp_path))


def test_a_change_in_a_bucket(
    bucket: Bucket, smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The map of the earlier image stays here."""
    local = write_scene(tmp_path / "scene.tif", noise())
    bucket.put("in/before.tif", write_scene(tmp_path / "before.tif", noise(seed=9)))
    earlier, out = f"s3://{bucket.name}/in/before.tif", f"s3://{bucket.name}/maps/scene"
    assert run(smoothing_model, local, tmp_path / "expected", "--before", str(tmp_path / "before.tif")) == 0
    assert run(smoothing_model, local, out, "--before", earlier) == 0
    names = [f"maps/scene/{name}" for name in
             ("change.json", "change.tif", "item.json", "mask.tif", "probability.tif")]  # fmt: skip
    assert bucket.list() == ["in/before.tif", *names]
    assert bucket.get("maps/scene/change.tif") == (tmp_path / "expected" / "change.tif").read_bytes()
    assert json.loads(bucket.get("maps/scene/change.json"))["before"]["source"] == earlier
    assert [path.name for path in tmp_path.glob("outputs/.maps/**/mask.tif")] == ["mask.tif"]
    capsys.readouterr()
    assert run(smoothing_model, local, out, "--before", earlier) == 0
    assert f"{out}: skipped, it is complete" in capsys.readouterr().out
    assert run(smoothing_model, local, out) == 0
    assert not [name for name in bucket.list() if "change" in name]
