"""What real files of COCO hold beside polygons: nothing is dropped without a counted line."""

import json
import math
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from flood_seg.classes import IGNORED
from flood_seg.cli import main as cli
from flood_seg.config.compose import compose
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.errors import DataError, FindingsError, OutputError
from flood_seg.workshop.convert.coco import from_coco
from flood_seg.workshop.convert.shapes import decompress_runs, draw_runs
from tests.workshop.tools import to_coco

HEIGHT, WIDTH = 60, 80
WATER = [{"id": 1, "name": "water"}]
SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]


def write(root: Path, annotations: list[dict], images: dict[str, int] | None = None, **record) -> tuple[Path, Path]:
    """Writes a file of instances and an image for each of `images`, a name and its number."""
    images = images or {"a.png": 1}
    (root / "in").mkdir(exist_ok=True)
    for name in images:
        (root / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(root / "in" / name)
    entries = [{"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH} for name, number in images.items()]
    numbered = [{"id": place, "image_id": 1, "category_id": 1} | one for place, one in enumerate(annotations, 1)]
    whole = {"images": entries, "annotations": numbered, "categories": WATER} | record
    (root / "c.json").write_text(json.dumps(whole))
    return root / "c.json", root / "in"


def read(root: Path, printed: str) -> dict[str, np.ndarray]:
    """Class indices as the printed overrides read them."""
    config = compose("data", shlex.split(printed.strip().rpartition("train with ")[2]), DataToolsConfig)
    pairs, faults = find_samples(config.datamodule)
    assert not faults
    reader = SampleReader.of(config.datamodule, config.task)
    return {pair.stem: reader.load(pair)[1] for pair in pairs}


def convert(root: Path, annotations: list[dict], capsys, **record) -> tuple[np.ndarray, str]:
    """Returns the mask of the one image, and what was said on stderr."""
    from_coco(*write(root, annotations, **record), root / "out")
    said = capsys.readouterr()
    return read(root / "out", said.out)["a"], said.err


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def test_annotations_with_only_a_box_are_drawn_and_counted(tmp_path, capsys):
    empty: list[dict] = [{}, {"segmentation": None}, {"segmentation": []}, {"segmentation": [[]]}, {"segmentation": {}}]
    annotations = [{"segmentation": SQUARE}, *({**one, "bbox": [40, 5 + 10 * n, 8, 6]} for n, one in enumerate(empty))]
    mask, said = convert(tmp_path, annotations, capsys)
    wanted = box(10, 10, 30, 30)
    for n in range(5):
        wanted |= box(40, 5 + 10 * n, 48, 11 + 10 * n)
    np.testing.assert_array_equal(mask, wanted)
    assert "5 of 6 annotations have only a box; drawn as rectangles (the first: a.png: annotation 2)" in said
    record = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert any("5 of 6 annotations have only a box" in line for line in record["parts"]["all"]["notes"])


def test_a_box_that_cvat_turned_is_turned(tmp_path, capsys):
    turned = {"bbox": [20, 20, 30, 10], "attributes": {"occluded": False, "rotation": 30.0}}
    mask, _ = convert(tmp_path, [turned], capsys)
    corners = cv2.boxPoints(((35, 25), (30, 10), 30.0))  # OpenCV's angle is clockwise too
    truth = coco_mask.decode(coco_mask.frPyObjects([corners.ravel().tolist()], HEIGHT, WIDTH))[:, :, 0]
    assert (mask != truth).sum() <= 4 and abs(int(mask.sum()) - 300) < 15
    assert mask[18, 25] and not mask[32, 25]  # clockwise: the left end rises


def test_crowds_are_ignored_and_that_is_said(tmp_path, capsys):
    annotations = [{"segmentation": SQUARE}, {"segmentation": [[40, 0, 50, 0, 50, 10, 40, 10]], "iscrowd": 1}]
    mask, said = convert(tmp_path, annotations, capsys)
    np.testing.assert_array_equal(mask, box(10, 10, 30, 30) + IGNORED * box(40, 0, 50, 10))
    assert "1 of 2 annotations are crowds, which count nowhere; their pixels are ignored" in said
    plain = compose("data", [f"datamodule.data_dir='{tmp_path}/out'"], DataToolsConfig)  # read without its label:
    (pair,), _ = find_samples(plain.datamodule)
    forgotten = SampleReader.of(plain.datamodule, "binary").load(pair)[1]
    np.testing.assert_array_equal(forgotten, box(10, 10, 30, 30))  # no water is lost, none is made


def test_a_missing_file_and_a_missing_image_are_told_apart(tmp_path, capsys):
    annotations = [{"segmentation": SQUARE}, {"segmentation": SQUARE, "image_id": 2},
                   {"segmentation": SQUARE, "image_id": 2}, {"segmentation": SQUARE, "image_id": 7}]  # fmt: skip
    file, images = write(tmp_path, annotations, {"a.png": 1, "gone.png": 2})
    (images / "gone.png").unlink()
    with pytest.raises(FindingsError, match="2 entries"):
        from_coco(file, images, tmp_path / "out")
    said = capsys.readouterr().err
    assert "gone.png: no such file; its 2 annotations cannot be drawn" in said
    assert "1 annotation of image 7, which is not among the images" in said
    assert "image 2" not in said and [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["a.png"]


def test_a_number_of_two_images_is_not_guessed(tmp_path, capsys):
    file, images = write(tmp_path, [{"segmentation": SQUARE}], {"a.png": 1, "b.png": 1, "c.png": 3})
    with pytest.raises(FindingsError):
        from_coco(file, images, tmp_path / "out")
    assert "image 1 is a.png, b.png, so its 1 annotation could be of each" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["c.png"]


def test_an_image_that_is_listed_twice_keeps_the_annotations_of_both(tmp_path, capsys):
    entries = [{"id": number, "file_name": "a.png", "height": HEIGHT, "width": WIDTH} for number in (1, 2)]
    annotations = [{"segmentation": SQUARE}, {"image_id": 2, "segmentation": [[40, 0, 50, 0, 50, 10, 40, 10]]}]
    file, images = write(tmp_path, annotations)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"images": entries}))
    from_coco(file, images, tmp_path / "out")
    said = capsys.readouterr()
    np.testing.assert_array_equal(read(tmp_path / "out", said.out)["a"], box(10, 10, 30, 30) | box(40, 0, 50, 10))
    assert "1 images are listed more than once; their annotations are put together" in said.err


def test_images_of_one_stem_are_all_kept(tmp_path, capsys):
    names = {"a.png": 1, "a.bmp": 2, "A.png": 3, "x/a.png": 4}
    annotations = [{"image_id": n, "segmentation": [[n, 0, n + 10, 0, n + 10, 10, n, 10]]} for n in names.values()]
    from_coco(*write(tmp_path, annotations, names), tmp_path / "out")
    found = read(tmp_path / "out", capsys.readouterr().out)
    assert found.keys() == {"a", "a.bmp", "A.png", "x_a"}
    for stem, number in zip(found, (3, 1, 2, 4), strict=True):
        np.testing.assert_array_equal(found[stem], box(number, 0, number + 10, 10), stem)


def test_images_without_an_annotation_and_annotations_without_a_pixel_are_counted(tmp_path, capsys):
    annotations = [{"segmentation": SQUARE}, {"segmentation": [[200, 200, 220, 200, 220, 220]]},
                   {"segmentation": [[5, 5, 5.1, 5, 5.1, 5.1]]}, {"bbox": [5, 5, 0, 0]}]  # fmt: skip
    from_coco(*write(tmp_path, annotations, {"a.png": 1, "b.png": 2}), tmp_path / "out")
    said = capsys.readouterr().err
    assert "3 of 4 annotations cover no pixel of their image and are not drawn (the first: a.png: annotation 2)" in said
    assert "1 of 2 images have no annotation and are background alone (the first: b.png)" in said


def test_masks_that_are_all_background_though_there_are_annotations_are_no_success(tmp_path, capsys):
    shares = [[0.1, 0.1, 0.4, 0.1, 0.4, 0.4]]  # of the image's sides, as YOLO has them
    with pytest.raises(FindingsError):
        from_coco(*write(tmp_path, [{"segmentation": shares}]), tmp_path / "out")
    assert "though there are annotations; are their coordinates in pixels?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({}, "it has no segmentation, and no bbox of 4 numbers"),
        ({"bbox": [1, 2, 3, 4, 30]}, "no bbox of 4 numbers"),
        ({"bbox": [1, 2, "3", 4]}, "'3' is no number"),
        ({"segmentation": [[1, 1, 5, 5]]}, "a polygon has 2 points, fewer than 3"),
        ({"segmentation": [[1, 1, 5, 5, 9, 9, 3]]}, "a polygon has 7 coordinates, an odd number"),
        ({"segmentation": [[1, 1, 5, 5, math.inf, 9]]}, "inf is not finite"),
        ({"segmentation": [[1, 1, 5, 5, math.nan, 9]]}, "nan is not finite"),
        ({"segmentation": [[1, 1, 5, 5, 1e300, 9]]}, "far outside of any image"),
        ({"segmentation": [1, 1, 5, 5, 9, 1]}, "its segmentation is no list of polygons"),
        ({"segmentation": "abc"}, "neither polygons nor run lengths"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [10, -5, 4795]}}, "no whole numbers from 0 on"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [10, 5]}}, "sum up to 15, not to 4800"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "~~~~"}}, "run lengths are damaged"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": 5}}, "neither a text nor a list"),
        ({"segmentation": {"size": [9, 9], "counts": [81]}}, "its run lengths are of [9, 9]"),
        ({"segmentation": {"size": 3, "counts": [81]}}, "cannot be drawn"),
        ({"segmentation": {"counts": [81]}}, "cannot be drawn"),
        ({"segmentation": SQUARE, "iscrowd": "0"}, "iscrowd is '0'"),
    ],
)
def test_an_annotation_that_cannot_be_drawn_is_named_and_the_others_are_drawn(tmp_path, capsys, annotation, message):
    with pytest.raises(FindingsError, match="1 entries could not be used"):
        from_coco(*write(tmp_path, [annotation, {"segmentation": SQUARE}]), tmp_path / "out")
    said = capsys.readouterr()
    assert "left out: a.png: annotation 1 cannot be drawn" in said.err and message in said.err
    np.testing.assert_array_equal(read(tmp_path / "out", said.out)["a"], box(10, 10, 30, 30))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["images"][0].update(id={}), r"images\[0\] has id \{\}, which is neither a number nor text"),
        (lambda r: r["images"].append(5), r"images\[1\] has no 'id'"),
        (lambda r: r["annotations"][0].update(image_id=[1]), r"annotations\[0\] has image_id \[1\]"),
        (lambda r: r["annotations"][0].pop("category_id"), r"annotations\[0\] has no 'category_id'"),
        (lambda r: r.update(categories=[]), "no class besides the background"),
        (
            lambda r: r.update(categories=[{"id": n, "name": f"c{n}"} for n in range(1203)]),
            "1203 classes; a mask holds",
        ),
        (lambda r: r.update(annotations=None), "no instances of COCO"),
    ],
)
def test_a_wrong_file_is_one_line_and_nothing_is_written(tmp_path, change, message):
    file, images = write(tmp_path, [{"segmentation": SQUARE}])
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))
    with pytest.raises(DataError, match=message):
        from_coco(file, images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("height", ["x", None, -60, 10**9, math.inf, math.nan, [60], True])
def test_a_height_that_is_none_leaves_the_image_out_and_the_others_in(tmp_path, capsys, height):
    file, images = write(tmp_path, [{"segmentation": SQUARE}], {"a.png": 1, "b.png": 2})
    record = json.loads(file.read_text())
    record["images"][1]["height"] = height
    file.write_text(json.dumps(record))
    with pytest.raises(FindingsError, match="1 entries could not be used"):
        from_coco(file, images, tmp_path / "out")
    said = capsys.readouterr()
    assert f"b.png: is 80×60, its annotations are of 80×{height}" in said.err and read(tmp_path, said.out).keys() == {
        "a"
    }


def test_deeply_nested_json_and_a_folder_are_one_line(tmp_path):
    (tmp_path / "c.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="no instances of COCO"):
        from_coco(tmp_path / "c.json", tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="is a folder; give --annotations"):
        from_coco(tmp_path, tmp_path, tmp_path / "out")


def test_categories_of_one_name_are_one_class_and_ignore_and_background_are_none(tmp_path, capsys):
    categories = [{"id": n, "name": name} for n, name in enumerate(["background", "water", "water", "ignore", "mud"])]
    annotations = [
        {"category_id": n, "segmentation": [[10 * n, 0, 10 * n + 10, 0, 10 * n + 10, 10, 10 * n, 10]]} for n in range(5)
    ]
    mask, _ = convert(tmp_path, annotations, capsys, categories=categories)
    np.testing.assert_array_equal(mask[0, :60:10], [0, 1, 1, IGNORED, 2, 0])


def test_names_of_any_kind_survive(tmp_path, capsys):
    categories = [{"id": 1, "name": "open water, deep"}, {"id": 2, "name": "it's: {mud}"}, {"id": 3, "name": "null"}]
    from_coco(*write(tmp_path, [{"segmentation": SQUARE}], categories=categories), tmp_path / "the out")
    overrides = shlex.split(capsys.readouterr().out.strip().rpartition("train with ")[2])
    names = compose("data", overrides, DataToolsConfig).datamodule.classes("multiclass").names
    assert names == ("background", *(one["name"] for one in categories))


def test_parts_are_written_one_after_the_other_and_are_coded_alike(tmp_path, capsys):
    crowd = {"segmentation": [[40, 0, 50, 0, 50, 10, 40, 10]], "iscrowd": 1}
    from_coco(*write(tmp_path, [{"segmentation": SQUARE}, crowd]), tmp_path / "out", "train")
    file, images = write(tmp_path, [{"segmentation": SQUARE}])
    from_coco(file, images, tmp_path / "out", "val")
    found = read(tmp_path / "out", capsys.readouterr().out)
    np.testing.assert_array_equal(found["train/a"], box(10, 10, 30, 30) + IGNORED * box(40, 0, 50, 10))
    np.testing.assert_array_equal(found["val/a"], box(10, 10, 30, 30))
    with pytest.raises(OutputError, match="is not empty"):
        from_coco(file, images, tmp_path / "out", "val")
    file, images = write(tmp_path, [{"segmentation": SQUARE}], categories=[{"id": 1, "name": "mud"}])
    with pytest.raises(DataError, match="other parts have the classes background, water, this one has background, mud"):
        from_coco(file, images, tmp_path / "out", "test")
    assert not (tmp_path / "out" / "test").exists() and (tmp_path / "out" / "train" / "masks" / "a.png").is_file()


def test_what_is_broken_off_leaves_nothing_and_never_a_file_that_looks_whole(tmp_path, monkeypatch):
    for kind in ("images", "masks"):
        for name in "ab":
            (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(box(1, 1, 9, 9) * 255).save(tmp_path / "set" / kind / f"{name}.png")
    read_mask, config = (
        SampleReader.read_mask,
        compose("data", [f"datamodule.data_dir='{tmp_path}/set'"], DataToolsConfig),
    )

    def stop(self, pair):
        if pair.stem == "b":
            raise KeyboardInterrupt
        return read_mask(self, pair)

    monkeypatch.setattr(SampleReader, "read_mask", stop)
    with pytest.raises(KeyboardInterrupt):
        to_coco(config, tmp_path / "coco")
    assert not (tmp_path / "coco").exists()


def test_what_options_leave_out_or_fill_is_counted(tmp_path, capsys):
    mask = box(10, 10, 40, 40)
    mask[20:25, 20:25] = 0
    mask[50, 50:53] = 1
    for kind, values in (("images", mask), ("masks", mask * 255)):
        (tmp_path / "set" / kind).mkdir(parents=True)
        Image.fromarray(values).save(tmp_path / "set" / kind / "a.png")
    options = [f"datamodule.data_dir='{tmp_path}/set'", "coco.shape=polygon", "coco.min_area=4"]
    to_coco(compose("data", options, DataToolsConfig), tmp_path / "coco")
    said = capsys.readouterr().err
    assert "3 pixels in areas of less than coco.min_area=4 left out (the first: a.png)" in said
    assert "1 shapes have holes, which are filled since coco.shape=polygon" in said


def test_run_lengths_are_decompressed_as_pycocotools_does():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        area = cv2.resize(rng.random((7, 9)), (int(rng.integers(1, 300)), int(rng.integers(1, 300)))) > rng.random()
        encoded = coco_mask.encode(np.asfortranarray(area, np.uint8))
        counts = decompress_runs(encoded["counts"].decode())
        np.testing.assert_array_equal(draw_runs(counts, *area.shape), area, str(seed))


def test_every_annotation_is_drawn_as_pycocotools_draws_it(tmp_path, capsys):
    """Random polygons, some over the image's edges, and run lengths, each image with one annotation."""
    rng, annotations = np.random.default_rng(0), []
    for number in range(1, 31):
        points = (rng.uniform(-20, 100, (int(rng.integers(3, 9)), 2))).ravel().round(2).tolist()
        area = cv2.resize(rng.random((5, 6)), (WIDTH, HEIGHT)) > 0.5
        encoded = coco_mask.encode(np.asfortranarray(area, np.uint8))
        runs = {"size": [HEIGHT, WIDTH], "counts": encoded["counts"].decode()}
        annotations.append({"image_id": number, "iscrowd": 0, "segmentation": [points] if number % 2 else runs})
    file, images = write(tmp_path, annotations, {f"{number}.png": number for number in range(1, 31)})
    from_coco(file, images, tmp_path / "out")
    found, truth = read(tmp_path / "out", capsys.readouterr().out), COCO(str(file))
    for one in truth.loadAnns(truth.getAnnIds()):
        np.testing.assert_array_equal(found[str(one["image_id"])], truth.annToMask(one), str(one["image_id"]))


@pytest.mark.parametrize("words", [["coco.shape=rle"], ["--part", "all"], ["--out"]])
def test_words_that_the_verb_does_not_take_are_an_error(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, [{"segmentation": SQUARE}])
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "from-coco", "--annotations", "c.json", "--images", "in", *words])
    assert ended.value.code == 2 and not (tmp_path / "data").exists()


def test_images_that_exif_turns_are_counted(tmp_path, capsys):
    file, images = write(tmp_path, [{"segmentation": SQUARE}])
    picture = Image.open(images / "a.png")
    exif = picture.getexif()
    exif[0x0112] = 3  # upside down, so that no size tells
    picture.save(images / "a.png", exif=exif)
    from_coco(file, images, tmp_path / "out")
    said = capsys.readouterr().err
    assert "1 images are turned by EXIF; their annotations are taken to be of the upright images" in said
