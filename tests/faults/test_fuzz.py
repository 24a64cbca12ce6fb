"""Random and damaged input: whatever it is, the answer is a result or an error of ours, never another exception.

`make fuzz` looks longer; what it finds becomes an `@example` here, or a row in table.md.
"""

from __future__ import annotations

import io
import json
import shlex
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from flood_seg.classes import Classes, parse_classes
from flood_seg.cli.guard import guard
from flood_seg.cli.table import VERBS
from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.overrides import as_override
from flood_seg.config.saved import flatten
from flood_seg.config.schema import EvaluateConfig, InferConfig, TrainConfig
from flood_seg.config.schema.data import DataConfig
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.console import one_line
from flood_seg.data.labels import encode
from flood_seg.data.layout import find_samples
from flood_seg.data.split import read_split
from flood_seg.errors import ConfigError, DataError, FloodSegError, ModelError, UsageError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.binary_mask import read_binary_mask
from flood_seg.imaging.label_values import Labels, read_labels
from flood_seg.imaging.read import read_bands
from flood_seg.imaging.source import ImageSource
from flood_seg.spec import ModelSpec
from flood_seg.workshop.convert.coco import from_coco
from flood_seg.workshop.convert.cvat import from_cvat
from flood_seg.workshop.header import read_header
from tests.conftest import draw_pond, make_spec, read_image

MOST_PIXELS = 1_000_000  # that a damaged header may promise here; the limit itself has tests of its own
IMAGE, MASK = draw_pond(0, 40, 56)


def encoded(kind: str) -> bytes:
    """A small picture in a format."""
    grey, deep = MASK, (IMAGE[:, :, 0].astype(np.uint16) << 8)
    by_opencv = {"png16": (".png", deep), "jp2": (".jp2", IMAGE), "tif16": (".tif", deep)}
    if kind in by_opencv:
        suffix, pixels = by_opencv[kind]
        return bytes(cv2.imencode(suffix, pixels)[1])
    picture = {
        "mask": Image.fromarray(grey), "palette": Image.fromarray(IMAGE).quantize(16),
        "alpha": Image.fromarray(np.dstack([IMAGE, grey])), "grey+alpha": Image.fromarray(grey).convert("LA"),
    }.get(kind, Image.fromarray(IMAGE))  # fmt: skip
    stream = io.BytesIO()
    picture.save(stream, "png" if kind in ("mask", "palette", "alpha", "grey+alpha") else kind)
    return stream.getvalue()


KINDS = ("jpeg", "png", "mask", "palette", "alpha", "grey+alpha", "png16", "webp", "gif", "bmp", "tiff", "tif16", "jp2",
         "ppm", "dib", "avif", "mpo")  # fmt: skip
WHOLE = {kind: encoded(kind) for kind in KINDS}


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes of a file, some of them changed, left out or put in, or the file cut short."""
    data = bytearray(whole)
    for place, value in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=6)):
        data[place] = value
    if draw(st.booleans()):
        start, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        data[start:end] = draw(st.binary(max_size=20))
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


READERS: tuple[Callable[[Path], Any], ...] = (
    read_image,
    read_binary_mask,
    lambda path: read_labels(path, by_color=True),
    lambda path: read_labels(path, by_color=False),
    lambda path: read_bands(path, BandSelection.of(defaults(DataConfig, bands=["1"], mean=[0.0], std=[1.0]))).values,
    read_header,
    lambda path: read_bands(ImageSource(path.read_bytes(), str(path)), BandSelection()).values,
)


@pytest.mark.parametrize("kind", [*KINDS, "any bytes"])
def test_a_damaged_picture_is_an_array_or_an_image_error_and_libpng_says_nothing(kind, tmp_path, capfd):
    path = tmp_path / "picture.bin"

    @given(st.binary(max_size=200) if kind == "any bytes" else damaged(WHOLE[kind]))
    def look(data: bytes) -> None:
        assume(promised_pixels(data) <= MOST_PIXELS)
        path.write_bytes(data)
        for read in READERS:
            try:
                result = read(path)
            except DataError as error:  # ImageError, or a mask of three values
                assert str(path) in str(error) and "\n" not in str(error)
            else:
                assert not isinstance(result, np.ndarray) or result.size

    look()
    if kind in ("png", "mask", "palette", "alpha", "grey+alpha", "png16"):
        assert capfd.readouterr().err == ""


def promised_pixels(data: bytes) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as picture:
                return picture.width * picture.height
    except Exception:
        return 0


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
LABELS = st.one_of(
    st.integers(-3, 300), st.text(max_size=8), st.sampled_from(["#ff0000", "0 0 255", "255", "-1", "#1"])
)
NAMES = st.one_of(st.sampled_from(["water", "background", "ignore", ""]), st.text(max_size=5))


@given(
    st.sampled_from(["binary", "multiclass"]), st.lists(NAMES, max_size=4),
    st.none() | st.dictionaries(LABELS, NAMES, max_size=5), st.none() | st.integers(1, 300),
    st.none() | st.integers(-5, 300), st.none() | st.dictionaries(NAMES, st.text(max_size=8), max_size=2),
)  # fmt: skip
def test_labels_are_classes_or_a_config_error(task, names, labels, max_label, ignore_index, colors):
    try:
        classes = parse_classes(task, names, labels, max_label, ignore_index, colors)
    except ConfigError as error:
        assert "\n" not in one_line(str(error))
    else:
        assert len(classes.names) >= 2 and len(set(classes.names)) == len(classes.names)
        assert len(classes.colors) == len(classes.names)


@given(
    st.sampled_from(["uint8", "int8", "uint16", "int16", "int32", "int64", "float32", "float64", "bool"]),
    st.lists(st.integers(-70000, 70000) | st.floats(width=32), min_size=4, max_size=4),
    st.sampled_from(["fail", "ignore"]),
)
def test_values_of_a_mask_are_class_indices_or_a_data_error(dtype, values, unlisted):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mask = np.array(values, np.float64).astype(dtype).reshape(2, 2)
    classes = Classes(("background", "water"), ((0,), (1, 70000)), (255,), ("#000000", "#0000ff"), unlisted)
    try:
        found = encode(Labels(mask), classes, "mask.tif")
    except DataError:
        assert unlisted == "fail"
        return
    truth = {0: 0, 1: 1, 70000: 1, 255: 255}
    assert found.tolist() == [[truth.get(value, 255) for value in row] for row in mask.tolist()]


CONFIGS = {"train": TrainConfig, "infer": InferConfig, "evaluate": EvaluateConfig, "data": DataToolsConfig}
KEYS = {name: sorted(flatten(compose(name, [], schema))) for name, schema in CONFIGS.items()}
ODD = [
    "null", "true", "-1", "0", "1e400", "nan", "[]", "{}", "''", "[1,2]", "{a:1}", "${seed}", "${x}", "auto", "abc",
    "1.5", "99999999999999999999", "[nan]", "???", "range(1,2)", "a,b", "\\", "'", "[", "${oc.env:X}",
]  # fmt: skip
TYPED = st.sampled_from(ODD) | st.text(max_size=10) | st.integers().map(str) | st.floats().map(str)


@given(st.sampled_from(sorted(CONFIGS)), st.data())
def test_a_value_of_a_key_composes_or_is_a_config_error(name, data):
    key = data.draw(st.sampled_from(KEYS[name]))
    sign = data.draw(st.sampled_from(["", "", "", "+", "++", "~"]))
    word = f"{sign}{key}={data.draw(TYPED)}"
    try:
        compose(name, [word], CONFIGS[name])
    except ConfigError as error:
        assert str(error)


WORDS = st.text(max_size=12) | st.sampled_from(["train", "data", "infer", "--image", "-m", "a=b", "check"])


@given(st.lists(WORDS, max_size=5))
def test_a_command_line_is_understood_or_a_usage_error(words):
    try:
        understood = guard(VERBS, words, "flood-seg")
    except UsageError as error:
        assert str(error)
    else:
        assert understood is None or understood[0] in VERBS


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12))
def test_a_hint_for_any_text_means_that_text(text):
    (word,) = shlex.split(shlex.quote(as_override("output_dir", text)))
    assert compose("infer", [word], InferConfig).output_dir == text


RLE = {"size": [40, 56], "counts": [40, 2200]}
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 56}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [[1, 1, 9, 1, 9, 9]]},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": RLE},
    ],
    "categories": [{"id": 1, "name": "water"}],
}


@st.composite
def changed(draw: st.DrawFn, record: Any) -> Any:
    """A JSON record with one of its nodes replaced or left out."""
    record = json.loads(json.dumps(record))
    node = record
    while True:
        places = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        place = draw(st.sampled_from(places))
        if isinstance(node[place], dict | list) and node[place] and draw(st.booleans()) | draw(st.booleans()):
            node = node[place]
        elif draw(st.integers(0, 4)):
            node[place] = draw(JSON)
            return record
        else:
            del node[place]
            return record


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    Image.fromarray(IMAGE).save(tmp_path / "photos" / "a.png")
    return tmp_path / "photos"


def test_a_changed_coco_file_is_converted_or_an_error_of_ours(photos, tmp_path):
    @given(changed(COCO))
    def convert(record: Any) -> None:
        (tmp_path / "coco.json").write_text(json.dumps(record))
        try_in_new_folder(tmp_path, lambda out: from_coco(tmp_path / "coco.json", photos, out))

    convert()


CVAT = """<annotations><meta><task><labels><label><name>water</name></label></labels></task></meta>
<image id="0" name="a.png" width="56" height="40" subset="train">
<polygon label="water" points="1,1;9,1;9,9" z_order="0"/><box label="water" xtl="1" ytl="1" xbr="9" ybr="9"/>
<mask label="water" rle="3, 5, 4" left="1" top="1" width="4" height="3"/></image></annotations>"""


IN_CVAT = st.sampled_from(['"1,1;9,1;9,9"', '"56"', '"3, 5, 4"', '"1"', '"9"', '"4"', "water", '"train"'])


def test_a_changed_cvat_file_is_converted_or_an_error_of_ours(photos, tmp_path):
    @given(damaged(CVAT.encode()) | st.tuples(IN_CVAT, st.text(max_size=8)))
    def convert(change: bytes | tuple[str, str]) -> None:
        text = change if isinstance(change, bytes) else CVAT.replace(change[0], json.dumps(change[1])).encode()
        (tmp_path / "cvat.xml").write_bytes(text)
        try_in_new_folder(tmp_path, lambda out: from_cvat(tmp_path / "cvat.xml", photos, out))

    convert()


def try_in_new_folder(parent: Path, convert: Callable[[Path], None]) -> None:
    out = parent / "out"
    try:
        convert(out)
    except FloodSegError as error:
        assert str(error)
    finally:
        assert not list(parent.rglob("*.part*"))
        shutil.rmtree(out, ignore_errors=True)


LINES = st.sampled_from(["train\ta", "val\tb", "test\tc", "a.png,a.png", "image,mask,part", "", "x"]) | st.text(
    max_size=12
)


@given(st.lists(LINES, max_size=6))
def test_a_list_of_samples_is_read_or_a_data_error(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "list.txt"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    config = defaults(DataConfig, data_dir=str(path.parent), pairs_file=path.name)
    for read in (lambda: read_split(path, ["a", "b", "c"]), lambda: find_samples(config)):
        try:
            read()
        except DataError as error:
            assert str(error)


@given(changed(json.loads(make_spec().to_json())))
def test_a_changed_spec_is_read_or_a_model_error(record):
    try:
        ModelSpec.from_json(json.dumps(record), "model.onnx")
    except ModelError as error:
        assert "model.onnx" in str(error)
