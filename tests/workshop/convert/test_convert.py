"""Round trips, and files of the other tools read by those tools' own libraries."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from flood_seg.classes import IGNORED
from flood_seg.config.compose import compose
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.errors import DataError, FindingsError, OutputError
from flood_seg.workshop.convert.coco import from_coco
from flood_seg.workshop.convert.cvat import from_cvat
from tests.workshop.tools import from_mmseg, to_coco, to_cvat, to_mmseg

LABELS = "datamodule.labels={0:land,64:water,128:road,200:ignore}"


def blobs(seed: int, height: int = 90, width: int = 120) -> np.ndarray:
    """Ragged areas with holes and islands, bool."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    return cv2.GaussianBlur(noise, (0, 0), 3) > 0.02


def config_of(folder: Path, *options: str) -> DataToolsConfig:
    return compose("data", [f"datamodule.data_dir='{folder}'", *options], DataToolsConfig)


def write(root: Path, masks: dict[str, np.ndarray]) -> Path:
    for name, mask in masks.items():
        for kind, picture in (("images", np.random.default_rng(0).integers(0, 256, (*mask.shape, 3), np.uint8)),
                              ("masks", mask)):  # fmt: skip
            file = root / f"{name.replace('/', f'/{kind}/') if '/' in name else f'{kind}/{name}'}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file)
    return root


@pytest.fixture
def water(tmp_path) -> tuple[Path, dict[str, np.ndarray]]:
    """Three masks of two classes."""
    masks = {str(seed): blobs(seed).astype(np.uint8) for seed in range(3)}
    return write(tmp_path / "set", {name: mask * 255 for name, mask in masks.items()}), masks


@pytest.fixture
def streets(tmp_path) -> tuple[Path, dict[str, np.ndarray]]:
    """Two masks of three classes and ignored pixels."""
    masks = {}
    for seed in range(2):
        mask = blobs(seed).astype(np.uint8)
        mask[blobs(seed + 10)] = 2
        mask[:7, :9] = IGNORED
        masks[str(seed)] = mask
    values = np.zeros(256, np.uint8)
    values[[1, 2, IGNORED]] = 64, 128, 200
    return write(tmp_path / "streets", {name: values[mask] for name, mask in masks.items()}), masks


def read_back(folder: Path, *options: str) -> dict[str, np.ndarray]:
    config = config_of(folder, *options)
    pairs, faults = find_samples(config.datamodule)
    assert not faults
    reader = SampleReader.of(config.datamodule, config.task)
    return {pair.stem: reader.load(pair)[1] for pair in pairs}


BACK = ["task=multiclass", "datamodule.labels={0:background,1:water,2:road,255:ignore}"]


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], lost: float = 0.0) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert np.mean(found[name] != wanted[name]) <= lost, name


@pytest.mark.parametrize("shape", ["auto", "rle"])
@pytest.mark.parametrize("instances", ["component", "class"])
def test_coco_and_back_loses_no_pixel(water, streets, tmp_path, shape, instances, capsys):
    for name, (folder, masks), options, back in (
        ("two", water, [], []), ("several", streets, ["task=multiclass", LABELS], BACK)
    ):  # fmt: skip
        config = config_of(folder, *options, f"coco.shape={shape}", f"coco.instances={instances}")
        (file,) = to_coco(config, tmp_path / f"{name}_coco")
        from_coco(file, tmp_path / f"{name}_coco" / "images", tmp_path / f"{name}_again")
        assert_same(read_back(tmp_path / f"{name}_again", *back), masks)
    assert "task=multiclass datamodule.data_dir=" in capsys.readouterr().out


@pytest.mark.parametrize(("tolerance", "lost"), [(0.5, 0.0), (1.0, 0.03), (2.0, 0.06)])
def test_simplified_polygons_lose_only_what_lies_along_edges(tmp_path, tolerance, lost):
    masks = {str(seed): np.zeros((90, 120), np.uint8) for seed in range(3)}
    for seed, mask in enumerate(masks.values()):
        cv2.circle(mask, (40 + seed, 40), 30, 1, -1)
        cv2.rectangle(mask, (85, 10 + seed), (110, 60), 1, -1)
    folder = write(tmp_path / "set", {name: mask * 255 for name, mask in masks.items()})
    (file,) = to_coco(config_of(folder, f"coco.tolerance={tolerance}"), tmp_path / "coco")
    from_coco(file, tmp_path / "coco" / "images", tmp_path / "again")
    found = read_back(tmp_path / "again")
    assert_same(found, masks, lost)
    for name, mask in masks.items():  # nothing further from an edge than the tolerance, and a pixel
        rim = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8), iterations=1 + int(tolerance))
        assert not ((found[name] != mask) & (rim == 0)).any()


def test_pycocotools_reads_the_file_and_draws_the_same(streets, tmp_path):
    folder, masks = streets
    (file,) = to_coco(config_of(folder, "task=multiclass", LABELS), tmp_path / "coco")
    coco = COCO(str(file))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["water", "road"]
    kinds = set()
    for image in coco.loadImgs(coco.getImgIds()):
        drawn = np.zeros((image["height"], image["width"]), np.uint8)
        for one in coco.loadAnns(coco.getAnnIds(image["id"])):
            area = coco.annToMask(one)
            drawn[area > 0] = IGNORED if one["iscrowd"] else one["category_id"]
            kinds.add((isinstance(one["segmentation"], list), bool(one["iscrowd"])))
            assert one["area"] == area.sum()
            rows, columns = np.nonzero(area)
            left, top, width, height = one["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        np.testing.assert_array_equal(drawn, masks[Path(image["file_name"]).stem])
    assert kinds == {(True, False), (False, False), (False, True)}  # polygons, run lengths, a crowd


def test_every_form_that_coco_knows_is_read(tmp_path):
    """Several parts, uncompressed and compressed run lengths, a crowd, a small shape on a large one."""
    small = np.zeros((40, 50), np.uint8)
    small[10:14, 10:14] = 1
    crowd = np.zeros((40, 50), np.uint8)
    crowd[30:, 40:] = 1
    encoded = coco_mask.encode(np.asfortranarray(small))
    flat = crowd.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    annotations = [
        {"segmentation": {"size": [40, 50], "counts": encoded["counts"].decode()}, "category_id": 7},
        {"segmentation": [[0, 0, 30, 0, 30, 20, 0, 20], [35, 5, 45, 5, 45, 9, 35, 9]], "category_id": 3},
        {"segmentation": {"size": [40, 50], "counts": counts}, "category_id": 3, "iscrowd": 1},
    ]
    record = {
        "categories": [{"id": 7, "name": "road"}, {"id": 3, "name": "water"}],
        "images": [{"id": 5, "file_name": "a/1.png", "height": 40, "width": 50}],
        "annotations": [{"id": n, "image_id": 5, **one} for n, one in enumerate(annotations)],
    }
    (tmp_path / "c.json").write_text(json.dumps(record))
    (tmp_path / "images" / "a").mkdir(parents=True)
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "images" / "a" / "1.png")
    from_coco(tmp_path / "c.json", tmp_path / "images", tmp_path / "out", "val")
    wanted = np.zeros((40, 50), np.uint8)
    wanted[:20, :30] = wanted[5:9, 35:45] = 1
    wanted[small > 0], wanted[crowd > 0] = 2, IGNORED
    found = np.array(Image.open(tmp_path / "out" / "val" / "masks" / "a_1.png"))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", ["auto", "rle"])
def test_cvat_and_back_loses_no_pixel(water, streets, tmp_path, shape):
    for name, (folder, masks), options, back in (
        ("two", water, [], []), ("several", streets, ["task=multiclass", LABELS], BACK)
    ):  # fmt: skip
        file = to_cvat(config_of(folder, *options, f"coco.shape={shape}"), tmp_path / f"{name}_cvat")
        from_cvat(file, file.parent / "images", tmp_path / f"{name}_again")
        assert_same(read_back(tmp_path / f"{name}_again", *back), masks)


def test_cvats_file_has_its_elements_and_boxes_are_read_in_the_order_of_z(water, tmp_path):
    folder, _ = water
    file = to_cvat(config_of(folder), tmp_path / "cvat")
    root = ElementTree.parse(file).getroot()
    assert root.findtext("version") == "1.1" and root.findtext(".//label/name") == "water"
    image = root.find("image")
    assert image is not None and image.attrib == {"id": "0", "name": "0.png", "width": "120", "height": "90"}
    assert {shape.tag for shape in root.iter() if shape.get("label")} == {"polygon", "mask"}
    for shape in list(image):
        image.remove(shape)
    common = {"source": "manual", "occluded": "0"}
    box = {"xtl": "10", "ytl": "20", "xbr": "30", "ybr": "40"}
    ElementTree.SubElement(image, "box", {"label": "boat", "z_order": "1", **box, **common})
    ElementTree.SubElement(image, "box", {"label": "water", "z_order": "0", **box, "xbr": "60.00", **common})
    ElementTree.SubElement(image, "points", {"label": "boat", "points": "1,1", **common})
    ElementTree.ElementTree(root).write(file)
    from_cvat(file, file.parent / "images", tmp_path / "again")
    found = np.array(Image.open(tmp_path / "again" / "masks" / "0.png"))
    wanted = np.zeros((90, 120), np.uint8)
    wanted[20:40, 10:60], wanted[20:40, 10:30] = 1, 2
    np.testing.assert_array_equal(found, wanted)


def test_mmsegmentations_folders_and_back(streets, tmp_path):
    folder, masks = streets
    to_mmseg(config_of(folder, "task=multiclass", LABELS, "datamodule.val_split=0.5"), tmp_path / "mmseg")
    files = sorted(str(path.relative_to(tmp_path / "mmseg")) for path in (tmp_path / "mmseg").rglob("*.png"))
    assert [file.rpartition("/")[0] for file in files] == [
        "ann_dir/train",
        "ann_dir/val",
        "img_dir/train",
        "img_dir/val",
    ]
    written = {path.stem: np.array(Image.open(path)) for path in (tmp_path / "mmseg" / "ann_dir").rglob("*.png")}
    assert_same(written, masks)
    assert json.loads((tmp_path / "mmseg" / "classes.json").read_text())["classes"] == ["land", "water", "road"]
    folders = ["datamodule.images_dir=img_dir", "datamodule.masks_dir=ann_dir"]
    labels = ["task=multiclass", "datamodule.labels={0:land,1:water,2:road,255:ignore}"]
    from_mmseg(config_of(tmp_path / "mmseg", *folders, *labels), tmp_path / "again")
    again = read_back(tmp_path / "again", *labels)
    assert_same({stem.partition("/")[2]: mask for stem, mask in again.items()}, masks)


def test_parts_stay_parts(tmp_path, water):
    _, masks = water
    root = write(tmp_path / "parts", {f"{part}/{n}": masks[n] * 255 for part, n in (("train", "0"), ("val", "1"))})
    files = to_coco(config_of(root), tmp_path / "coco")
    assert [file.name for file in files] == ["train.json", "val.json"]
    assert (tmp_path / "coco" / "val" / "images" / "1.png").is_file()
    file = to_cvat(config_of(root), tmp_path / "cvat")
    from_cvat(file, tmp_path / "cvat", tmp_path / "again")
    assert_same(read_back(tmp_path / "again"), {"train/0": masks["0"], "val/1": masks["1"]})


def test_what_cannot_be_converted_is_named_and_the_rest_is_done(water, tmp_path, capsys):
    folder, _ = water
    (folder / "masks" / "1.png").write_bytes(b"")
    with pytest.raises(FindingsError, match="1 files could not be converted"):
        to_coco(config_of(folder), tmp_path / "coco")
    record = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert len(record["images"]) == 2
    record["images"].append({"id": 9, "file_name": "gone.png", "height": 5, "width": 5})
    record["images"][0]["width"] = 7
    record["annotations"][-1]["category_id"] = 44
    record["annotations"] += [{"image_id": 77, "category_id": 1}]
    (tmp_path / "coco" / "annotations.json").write_text(json.dumps(record))
    with pytest.raises(FindingsError, match="entries could not be used"):
        from_coco(tmp_path / "coco" / "annotations.json", tmp_path / "coco" / "images", tmp_path / "again")
    said = capsys.readouterr().err
    for wanted in ("gone.png: no such file", "its annotations are of 7×90", "category 44", "image 77"):
        assert wanted in said, wanted
    assert [path.name for path in (tmp_path / "again" / "images").iterdir()] == ["2.png"]
    with pytest.raises(OutputError, match="is not empty"):
        to_coco(config_of(folder), tmp_path / "coco")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "no instances of COCO"), ('{"images": []}', "has no 'categories'"), ("[1]", "no instances of COCO")],
)
def test_a_file_that_is_none_is_one_line(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=message):
        from_coco(tmp_path / "c.json", tmp_path, tmp_path / "out")
    (tmp_path / "c.xml").write_text(text)
    with pytest.raises(DataError, match="no XML"):
        from_cvat(tmp_path / "c.xml", tmp_path, tmp_path / "out")
    (tmp_path / "c.xml").write_text("<kml/>")
    with pytest.raises(DataError, match="holds no <image>"):
        from_cvat(tmp_path / "c.xml", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("labels", ["datamodule.labels={-1:ignore,0:land,1:water}", "datamodule.ignore_index=-1", ""])
def test_what_a_signed_label_ignores_stays_ignored_in_every_format_and_back(tmp_path, labels):
    """Without labels the files declare -1 as their nodata value."""
    root, signed = tmp_path / "set", {}
    for seed in range(2):
        signed[str(seed)] = mask = blobs(seed).astype(np.int16)
        mask[:9] = -1
        write(root, {str(seed): np.zeros(mask.shape, np.uint8)})
        (root / "masks" / f"{seed}.png").unlink()
        nodata = {} if labels else {"nodata": -1}
        place = {"crs": "EPSG:32632", "transform": rasterio.Affine(1, 0, 0, 0, -1, 0)}
        with rasterio.open(
            root / "masks" / f"{seed}.tif", "w", height=90, width=120, count=1, dtype="int16", **nodata, **place
        ) as out:
            out.write(mask, 1)
    config = config_of(root, "datamodule.val_split=0.5", *([labels] if labels else []))
    to_coco(config, tmp_path / "coco")
    from_coco(tmp_path / "coco/annotations.json", tmp_path / "coco/images", tmp_path / "from_coco")
    to_cvat(config, tmp_path / "cvat")
    from_cvat(tmp_path / "cvat/annotations.xml", tmp_path / "cvat/images", tmp_path / "from_cvat")
    if labels:  # which this format requires
        from_mmseg(config, tmp_path / "from_mmseg")
    for name in ("from_coco", "from_cvat", "from_mmseg") if labels else ("from_coco", "from_cvat"):
        overrides = json.loads((tmp_path / name / "conversion.json").read_text())["overrides"]
        again = config_of(tmp_path / name, *overrides)
        reader, pairs = SampleReader.of(again.datamodule, "binary"), find_samples(again.datamodule)[0]
        assert len(pairs) == 2
        for pair in pairs:
            mask = signed[pair.stem]
            np.testing.assert_array_equal(reader.read_mask(pair), np.where(mask < 0, IGNORED, mask), name)
    to_mmseg(config, tmp_path / "mmseg")
    for path in (tmp_path / "mmseg" / "ann_dir").rglob("*.png"):
        np.testing.assert_array_equal(
            np.array(Image.open(path)), np.where(signed[path.stem] < 0, 255, signed[path.stem])
        )


@pytest.mark.parametrize("convert", [to_coco, to_cvat, to_mmseg])
def test_images_that_exif_turns_are_written_upright(water, tmp_path, convert):
    root, _ = water
    with Image.open(root / "images" / "0.png") as opened:
        upright = np.asarray(opened)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter clockwise to be seen
    Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(root / "images" / "0.png", exif=exif)
    convert(config_of(root), tmp_path / "out")
    (written,) = (path for path in (tmp_path / "out").rglob("0.png") if "ann_dir" not in path.parts)
    with Image.open(written) as opened:
        assert opened.getexif().get(0x0112, 1) == 1
        np.testing.assert_array_equal(np.asarray(opened), upright)
