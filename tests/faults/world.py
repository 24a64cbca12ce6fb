"""The files that the faults of table.md are tried on: some whole, most broken in the way that their names say."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import rasterio
import yaml
from PIL import Image
from rasterio.transform import from_origin

from tests.analysis.conftest import write_result
from tests.conftest import draw_pond, make_spec, write_ponds
from tests.inference.conftest import red_spec, write_model

SIZE = (64, 80)
TWO_SENSORS = make_spec(bands=("nir", "vv"), mean=(0.0,) * 2, std=(1.0,) * 2, optional_bands={"optical": ("nir",)},
                        band_sources={"nir": "s2", "vv": "s1"})  # fmt: skip
FOUR_BANDS = make_spec(bands=("red", "green", "blue", "nir"), mean=(0.0,) * 4, std=(1.0,) * 4)


def build(root: Path) -> None:
    """Writes all of the files below `root`."""
    write_ponds(root / "set", 6)
    _write_photos(root)
    _write_sets(root)
    _write_models(root)
    _write_tables(root)
    _write_annotations(root)
    _write_results(root)
    _write_affected(root)


def _write_photos(root: Path) -> None:
    image, _ = draw_pond(0)
    photo = Image.fromarray(image)
    for name in ("photo.jpg", "photo.png", "photo.webp", "photo.bmp", "photo.gif", "photo.tif"):
        photo.save(root / name)
    for name in ("photo.jpg", "photo.png", "photo.webp", "photo.gif", "photo.tif"):
        data = (root / name).read_bytes()
        (root / f"cut{Path(name).suffix}").write_bytes(data[: len(data) // 2])
    (root / "empty.jpg").write_bytes(b"")
    (root / "text.jpg").write_text("no photo\n")
    (root / "header.png").write_bytes((root / "photo.png").read_bytes()[:20])
    (root / "zeros.jpg").write_bytes(bytes(4096))
    (root / "a folder.jpg").mkdir()
    (root / "nothing").mkdir()
    (root / "dangling.jpg").symlink_to("nowhere.jpg")
    (root / "loop.jpg").symlink_to("loop.jpg")
    (root / "wrong crc.png").write_bytes(_flip((root / "photo.png").read_bytes(), 29))
    (root / "wrong row.png").write_bytes(_flip((root / "photo.png").read_bytes(), 3000))
    (root / "no pixels.png").write_bytes(_png(0, 0))
    (root / "mixed").mkdir()
    for name in ("photo.jpg", "cut.jpg", "text.jpg"):
        (root / "mixed" / name).write_bytes((root / name).read_bytes())
    _write_raster(root / "two bands.tif", np.zeros((2, *SIZE), np.uint8))
    bands = np.moveaxis(image, 2, 0)
    _write_raster(root / "from 0 to 1.tif", (bands / 255).astype(np.float32))
    _write_raster(root / "reflectance.tif", bands.astype(np.float32) * 40)
    _write_raster(root / "reflectance 16 bit.tif", bands.astype(np.uint16) * 40)
    _write_raster(root / "no data.tif", np.full((3, *SIZE), np.nan, np.float32))
    Image.new("RGB", SIZE).save(root / "black.png")
    (root / "huge.png").write_bytes(_png(30000, 30000))


def _write_sets(root: Path) -> None:
    image, mask = draw_pond(0)
    other, _ = draw_pond(1)
    masks = {
        "mid-grey": np.full(SIZE, 128, np.uint8),
        "labels 0-5": np.random.default_rng(0).integers(0, 6, SIZE).astype(np.uint8),
        "size": mask[:32],
        "0 1 255": np.random.default_rng(0).choice([0, 1, 255], SIZE).astype(np.uint8),
    }
    for name, values in masks.items():
        _write_pair(root / f"set of {name}", "a", image, values)
        _write_pair(root / f"set of {name}", "b", other, values)
    for name, values, nodata in (("-1 0 1", [-1, 0, 1], None), ("nodata 0", [0, 1], 0)):
        for stem in "ab":
            _write_pair(root / f"set of {name}", stem, image if stem == "a" else other, mask)
            labels = np.random.default_rng(0).choice(values, SIZE).astype(np.int16)
            (root / f"set of {name}" / "masks" / f"{stem}.png").unlink()
            _write_raster(root / f"set of {name}" / "masks" / f"{stem}.tif", labels[None], nodata)
    write_ponds(root / "set of one", 1)
    write_ponds(root / "set of cut", 3)
    for file in (root / "set of cut").glob("*/*"):
        file.write_bytes(file.read_bytes()[:300])
    write_ponds(root / "set without masks", 2)
    for file in (root / "set without masks" / "masks").iterdir():
        file.unlink()
    write_ponds(root / "set of strangers", 2)
    for file in (root / "set of strangers" / "masks").iterdir():
        file.rename(file.with_name(f"x{file.name}"))


def _write_pair(folder: Path, stem: str, image: np.ndarray, mask: np.ndarray) -> None:
    for part, values in (("images", image), ("masks", mask)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(folder / part / f"{stem}.png")


def _write_models(root: Path) -> None:
    model = write_model(root / "model.onnx", red_spec()).read_bytes()
    (root / "cut.onnx").write_bytes(model[: len(model) // 2])
    (root / "empty.onnx").write_bytes(b"")
    (root / "photo.onnx").write_bytes((root / "photo.jpg").read_bytes())
    (root / "a folder.onnx").mkdir()
    write_model(root / "without spec.onnx", None)
    write_model(root / "spec is no json.onnx", None, metadata="{")
    write_model(root / "spec is a list.onnx", None, metadata="[]")
    write_model(root / "spec of the future.onnx", None, metadata=json.dumps({"version": 99}))
    write_model(root / "spec of 4 bands.onnx", FOUR_BANDS)
    record = json.loads(red_spec().to_json())
    write_model(root / "spec with a word for height.onnx", None, metadata=json.dumps(record | {"height": "tall"}))
    write_model(root / "spec of nan.onnx", None, metadata=json.dumps(record | {"mean": [float("nan")] * 3}))
    without = {key: value for key, value in record.items() if key != "bands"}
    write_model(root / "spec without bands.onnx", None, metadata=json.dumps(without))
    write_model(root / "answers nan.onnx", red_spec(), bias=[float("nan")])
    write_model(root / "other tensors.onnx", red_spec(input_name="x"))
    write_model(root / "4 bands.onnx", FOUR_BANDS, 4)
    write_model(root / "two sensors.onnx", TWO_SENSORS, 2)
    stray = json.loads(TWO_SENSORS.to_json()) | {"one_of": ["vh"]}
    write_model(root / "spec of a stray band.onnx", None, 2, metadata=json.dumps(stray))
    for suffix in (".ckpt", ".xml", ".plan", ".trt"):
        (root / f"photo{suffix}").write_bytes((root / "photo.jpg").read_bytes())
        (root / f"empty{suffix}").write_bytes(b"")
    (root / "run" / ".hydra").mkdir(parents=True)
    (root / "run" / "last.ckpt").write_bytes(b"PK\3\4 cut")
    (root / "run" / ".hydra" / "overrides.yaml").write_text("- model=tiny_unet\n")
    (root / "run of another kind" / ".hydra").mkdir(parents=True)
    (root / "run of another kind" / "last.ckpt").write_bytes(b"PK\3\4 cut")
    (root / "run of another kind" / ".hydra" / "overrides.yaml").write_text("model: tiny_unet\n")


def _write_tables(root: Path) -> None:
    stems = [f"{number:02d}" for number in range(6)]
    stats = {"bands": ["nir"], "value_scale": 255, "mean": [0.5], "std": [0.1]}
    files = {
        "split of strangers.txt": "[train]\nx\n[val]\ny\n",
        "split without parts.txt": "\n".join(stems),
        "split twice.txt": "[train]\n00\n01\n[val]\n01\n",
        "empty.txt": "",
        "binary.txt": "\0\1\2",
        "set/columns.csv": "photo,truth\nimages/00.jpg,masks/00.png\n",
        "set/short.csv": "image,mask,part\nimages/00.jpg\n",
        "set/nothing.csv": "image,mask\n",
        "set/parts.csv": "image,mask,part\nimages/00.jpg,masks/00.png,trian\n",
        "set/missing.csv": "image,mask\nimages/90.jpg,masks/90.png\n",
        "set/twice.csv": "image,mask\nimages/00.jpg,masks/00.png\nimages/00.jpg,masks/00.png\n",
        "groups.csv": "stem,event\n00,may\n",
        "stats of other bands.yaml": yaml.safe_dump(stats),
        "stats without std.yaml": yaml.safe_dump({key: value for key, value in stats.items() if key != "std"}),
        "stats of nan.yaml": yaml.safe_dump(stats | {"mean": [float("nan")]}),
        "no yaml.yaml": "{: [",
    }
    for name, text in files.items():
        (root / name).write_text(text)
    (root / "latin1.csv").write_bytes("image,mask\nfl\xfcsse.jpg,a.png\n".encode("latin-1"))


def _write_annotations(root: Path) -> None:
    image = {"id": 1, "file_name": "00.jpg", "height": 64, "width": 80}
    area = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "iscrowd": 0}
    category = {"id": 1, "name": "water"}

    def coco(name: str, **changes: object) -> None:
        record: dict[str, object] = {"images": [image], "annotations": [area], "categories": [category]}
        (root / f"{name}.json").write_text(json.dumps(record | changes))

    coco("coco")
    coco("coco without categories", categories=None)
    coco("coco of missing photos", images=[image | {"file_name": "90.jpg"}])
    coco("coco with a word for height", images=[image | {"height": "tall"}])
    coco("coco of huge images", images=[image | {"height": 10**9, "width": 10**9}])
    coco("coco of negative images", images=[image | {"height": -64}])
    coco("coco of other size", images=[image | {"height": 32}])
    coco("coco of unknown category", annotations=[area | {"category_id": 7}])
    coco("coco of bad polygon", annotations=[area | {"segmentation": [["a", "b"]]}])
    coco("coco of far points", annotations=[area | {"segmentation": [[1, 1, 1e30, 1, 9, 9]]}])
    coco("coco of bad rle", annotations=[area | {"segmentation": {"size": [64, 80], "counts": [1, 2]}}])
    coco("coco of bad string", annotations=[area | {"segmentation": {"size": [64, 80], "counts": "\x01\x02zz~~"}}])
    coco("coco with a list for an id", annotations=[area | {"image_id": []}])
    coco("coco outside", images=[image | {"file_name": "../../photo.jpg"}])
    (root / "list.json").write_text("[]")
    (root / "cut.json").write_text('{"images": [')

    def cvat(name: str, body: str, attributes: str = 'id="0" name="00.jpg" width="80" height="64"') -> None:
        labels = "<meta><task><labels><label><name>water</name></label></labels></task></meta>"
        (root / f"{name}.xml").write_text(f"<annotations>{labels}<image {attributes}>{body}</image></annotations>")

    polygon = '<polygon label="water" points="{}" z_order="{}"/>'
    cvat("cvat", polygon.format("1,1;9,1;9,9", 0))
    (root / "cvat without labels.xml").write_text('<annotations><image name="00.jpg"/></annotations>')
    cvat("cvat of bad polygon", polygon.format("1,1;x", 0))
    cvat("cvat with a word for z_order", polygon.format("1,1;9,1;9,9", "top"))
    cvat("cvat with a word for height", "", 'id="0" name="00.jpg" width="80" height="tall"')
    cvat("cvat without size", "", 'id="0" name="00.jpg"')
    cvat("cvat of missing photos", "", 'id="0" name="90.jpg" width="80" height="64"')
    (root / "cvat without images.xml").write_text("<annotations></annotations>")
    (root / "cut.xml").write_text("<annotations><image")


def _write_affected(root: Path) -> None:
    """Writes layers of what a flood may affect."""

    def lines(name: str, x: float, crs: str | None = "EPSG:32632") -> None:
        shape = {"type": "LineString", "coordinates": [[x, 4_999_900], [x + 500, 4_999_900]]}
        system = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
        feature = {"type": "Feature", "properties": {"name": "A 1"}, "geometry": shape}
        (root / f"{name}.geojson").write_text(
            json.dumps({"type": "FeatureCollection", "features": [feature], **system})
        )

    lines("roads", 500_100)
    lines("far roads", 900_100)
    (root / "cut.geojson").write_bytes((root / "roads.geojson").read_bytes()[:90])
    (root / "no roads.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (root / "photo.parquet").write_bytes((root / "photo.jpg").read_bytes())


def _write_raster(path: Path, values: np.ndarray, nodata: int | None = None) -> None:
    place = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5e6, 10, 10), "nodata": nodata}
    size = {"count": len(values), "height": values.shape[1], "width": values.shape[2]}
    with rasterio.open(path, "w", driver="GTiff", dtype=values.dtype, **size, **place) as file:
        file.write(values)


def _flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


def _png(height: int, width: int) -> bytes:
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # noqa: E731
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _write_results(root: Path) -> None:
    """Results of `flood-seg map`, and shapes for them."""
    mask = np.zeros((40, 60), np.uint8)
    write_result(root / "result", mask)
    write_result(root / "result of a photo", mask, crs=None)
    layer = write_result(root / "damaged result", mask) / "mask.tif"
    layer.write_bytes(layer.read_bytes()[:100])
    square = [[[100, 1], [101, 1], [101, 2], [100, 2], [100, 1]]]
    shapes = {"points": ("Point", [9.001, 45.15], {"class": "sure"}), "far": ("Polygon", square, {"name": "far"})}
    for name, (kind, coordinates, properties) in shapes.items():
        feature = {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}
        (root / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (root / "broken.geojson").write_text('{"type": "FeatureCollection", "features": [{"type": "Feat')
