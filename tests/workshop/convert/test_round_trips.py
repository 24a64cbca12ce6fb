"""Random labelled sets go to each format and back without a changed pixel; random damage is always one line."""

import copy
import json
import random
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from flood_seg.classes import IGNORED
from flood_seg.config.compose import compose
from flood_seg.config.overrides import as_override
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.errors import DataError, FindingsError, FloodSegError, UsageError
from flood_seg.workshop.convert.coco import from_coco
from flood_seg.workshop.convert.cvat import from_cvat
from tests.workshop.tools import from_mmseg, to_coco, to_cvat, to_mmseg

COMPRESSED = coco_mask.encode(np.asfortranarray(np.eye(20, 30, dtype=np.uint8)))["counts"].decode()
WORDS = ["water", "open water", "mud, wet", "it's ice", "forêt", "a: b", "Null", "7", "{x}", "road/rail"]


def config_of(*options: str) -> DataToolsConfig:
    return compose("data", options, DataToolsConfig)


def random_set(root: Path, seed: int) -> DataToolsConfig:
    """A set of one to four classes beside the background, with values, names, parts and ignored pixels at random."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 5))
    values = [0, *sorted(rng.choice(np.arange(1, 255), count, replace=False).tolist())]
    names = ["background" if seed % 3 else "land", *rng.choice(WORDS, count, replace=False).tolist()]
    labels = dict(zip(values, names, strict=True)) | ({255: "ignore"} if rng.random() < 0.6 else {})
    for number in range(3):
        height, width = (int(side) for side in rng.integers(8, 70, 2))
        smooth = cv2.GaussianBlur(rng.random((height, width)), (0, 0), float(rng.uniform(0.6, 3)))
        ranks = smooth.ravel().argsort().argsort().reshape(smooth.shape) * len(labels) // smooth.size
        mask = np.array(list(labels), np.uint8)[ranks]
        part = ["train", "val"][number % 2] if seed % 2 else ""
        for kind, picture in (("images", np.zeros((height, width, 3), np.uint8)), ("masks", mask)):
            file = root / part / kind / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file)
    task = "binary" if count == 1 else "multiclass"
    return config_of(f"task={task}", f"datamodule.data_dir='{root}'", as_override("datamodule.labels", labels))


def read(config: DataToolsConfig) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    pairs, faults = find_samples(config.datamodule)
    assert pairs and not faults
    reader = SampleReader.of(config.datamodule, config.task)
    return reader.classes.names, {pair.stem: reader.load(pair)[1] for pair in pairs}


def by_coco(config: DataToolsConfig, root: Path) -> None:
    for file in to_coco(config, root / "coco"):
        part = file.stem if file.stem in ("train", "val") else None
        from_coco(file, root / "coco" / (part or "") / "images", root / "back", part)


def by_cvat(config: DataToolsConfig, root: Path) -> None:
    file = to_cvat(config, root / "cvat")
    inner = root / "cvat" / "images"
    from_cvat(file, inner if inner.is_dir() else root / "cvat", root / "back")


def by_mmseg(config: DataToolsConfig, root: Path) -> None:
    to_mmseg(config, root / "mmseg")
    folders = ["datamodule.images_dir=img_dir", "datamodule.masks_dir=ann_dir"]
    from_mmseg(config_of(f"datamodule.data_dir='{root}/mmseg'", *folders), root / "back")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("through", [by_coco, by_cvat, by_mmseg])
def test_there_and_back_each_pixel_and_each_name_is_the_same(tmp_path, capsys, through, seed):
    config = random_set(tmp_path / "set", seed)
    names, masks = read(config)
    through(config, tmp_path)
    overrides = shlex.split(capsys.readouterr().out.strip().rpartition("train with ")[2])
    found_names, found = read(config_of(*overrides))
    # CVAT has no place for the background's name.
    assert found_names == (("background", *names[1:]) if through is by_cvat else names)
    if through is by_mmseg and not seed % 2:  # it has drawn parts
        found = {stem.partition("/")[2]: mask for stem, mask in found.items()}
    assert found.keys() == masks.keys()
    for stem, mask in masks.items():
        np.testing.assert_array_equal(found[stem], mask, stem)


JUNK: list[Any] = [
    None, True, -1, 0, 10**30, 1.5, float("nan"), float("inf"), "", "x", "\x00", "../..", "a" * 5000, [], {}, [[]],
    [[1, 2]], [None], {"size": [1, 1], "counts": "~"}, {"size": [20, 30], "counts": "\x7f"},
]  # fmt: skip


def damaged(record: Any, rng: random.Random) -> Any:
    """Replaces, removes or doubles a random leaf or branch of JSON."""
    if not isinstance(record, dict | list) or not record or rng.random() < 0.1:
        return copy.deepcopy(rng.choice(JUNK))
    keys = list(record) if isinstance(record, dict) else list(range(len(record)))
    key = rng.choice(keys)
    kind = rng.random()
    if kind < 0.12:
        del record[key]
    elif kind < 0.2 and isinstance(record, list):
        record.append(record[key])
    else:
        record[key] = damaged(record[key], rng)
    return record


def assert_one_line(convert: Callable[[], None]) -> None:
    try:
        convert()
    except FloodSegError as error:
        assert "\n" not in str(error)


def test_damaged_json_is_never_a_traceback(tmp_path):
    """100 times two damages; what pycocotools would do with some of these run lengths is to crash."""
    rng = random.Random(0)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    shapes: list[dict] = [{"segmentation": [[1, 1, 9, 1, 9, 9]]},
                          {"bbox": [1, 2, 3, 4], "attributes": {"rotation": 30}},
                          {"segmentation": {"size": [20, 30], "counts": [100, 50, 450]}, "iscrowd": 1},
                          {"segmentation": {"size": [20, 30], "counts": COMPRESSED}, "iscrowd": 0}]  # fmt: skip
    text = json.dumps({
        "info": {"background": "land"}, "categories": [{"id": 1, "name": "water"}, {"id": 2, "name": "road"}],
        "images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 1, **one} for n, one in enumerate(shapes)],
    })  # fmt: skip
    for turn in range(100):
        record = damaged(damaged(json.loads(text), rng), rng)
        (tmp_path / "c.json").write_text(json.dumps(record))
        assert_one_line(lambda: from_coco(tmp_path / "c.json", tmp_path, tmp_path / f"out{turn}"))  # noqa: B023


def test_damaged_xml_is_never_a_traceback(tmp_path):
    rng = random.Random(0)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    text = (
        '<annotations><meta><task><labels><label><name>water</name></label></labels></task></meta>'
        '<image id="0" name="a.png" width="30" height="20" subset="train"><polygon label="water" points="1,1;9,1;9,9" '
        'z_order="0"/><box label="water" xtl="1" ytl="2" xbr="9" ybr="8" rotation="30" z_order="1"/>'
        '<ellipse label="water" cx="9" cy="9" rx="3" ry="4" rotation="10"/>'
        '<mask label="water" rle="2, 4, 3" left="1" top="1" width="3" height="3"/></image></annotations>'
    )  # fmt: skip
    values = [piece for piece in text.split('"')[1::2]]
    junk = ["", "x", "-1", "1e999", "nan", "9" * 5000, "1,1;2", ";", "../..", "a" * 5000, "999999999", "&#9;", "4, -3"]
    for turn in range(100):
        damage = text.replace(f'"{rng.choice(values)}"', f'"{rng.choice(junk)}"', 1)
        if rng.random() < 0.2:
            place = rng.randrange(len(damage))
            damage = damage[:place] + rng.choice(["", "<", "&", '"', "\x01"]) + damage[place + rng.randrange(3) :]
        (tmp_path / "c.xml").write_text(damage)
        assert_one_line(lambda: from_cvat(tmp_path / "c.xml", tmp_path, tmp_path / f"out{turn}"))  # noqa: B023


@pytest.fixture
def indices(tmp_path) -> Path:
    """MMSegmentation's folders with a mask of 0, 1 and 255."""
    mask = np.zeros((20, 30), np.uint8)
    mask[:5], mask[5:10] = 1, 255
    for kind, picture in (("img_dir", np.zeros((20, 30, 3), np.uint8)), ("ann_dir", mask)):
        (tmp_path / "mm" / kind / "train").mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "mm" / kind / "train" / "a.png")
    return tmp_path


def mmseg(root: Path, *options: str) -> DataToolsConfig:
    folders = ["datamodule.images_dir=img_dir", "datamodule.masks_dir=ann_dir"]
    return config_of(f"datamodule.data_dir='{root}/mm'", *folders, *options)


def test_indices_without_classes_are_not_guessed(indices, capsys):
    """As a mask of two values, 255 would be water, and what is water background."""
    with pytest.raises(UsageError, match=r"classes\.json: no such file, so nothing says which classes"):
        from_mmseg(mmseg(indices), indices / "out")
    assert not (indices / "out").exists()
    from_mmseg(mmseg(indices, "datamodule.max_label=1", "datamodule.ignore_index=255"), indices / "out")
    overrides = shlex.split(capsys.readouterr().out.strip().rpartition("train with ")[2])
    mask = read(config_of(*overrides))[1]["train/a"]
    assert (mask[:5] == 1).all() and (mask[5:10] == IGNORED).all() and not mask[10:].any()


@pytest.mark.parametrize("text", ["[]", "{", '{"classes": 5}', '{"classes": ["a"], "ignore_index": null}'])
def test_a_wrong_list_of_classes_is_one_line(indices, text):
    (indices / "mm" / "classes.json").write_text(text)
    with pytest.raises(DataError, match=r"classes\.json: holds no list of classes"):
        from_mmseg(mmseg(indices), indices / "out")


def test_samples_that_a_split_leaves_out_are_counted(tmp_path, capsys):
    config = random_set(tmp_path / "set", 0)
    (tmp_path / "split.txt").write_text("train\t0\nval\t1\n")
    config.datamodule.split_file = str(tmp_path / "split.txt")
    to_mmseg(config, tmp_path / "mmseg")
    said = capsys.readouterr()
    assert "1 samples left out, which datamodule.split_file does not name (the first: 2)" in said.err
    assert "2 samples in img_dir and ann_dir" in said.out


def test_images_without_an_images_suffix_are_named(tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.data")
    record = {"categories": [{"id": 1, "name": "water"}], "annotations": [],
              "images": [{"id": 1, "file_name": "a.data", "height": 20, "width": 30}]}  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps(record))
    with pytest.raises(FindingsError, match="1 entries"):
        from_coco(tmp_path / "c.json", tmp_path, tmp_path / "out")
