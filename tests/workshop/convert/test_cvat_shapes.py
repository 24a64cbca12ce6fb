"""The shapes of CVAT for images: turned boxes, ellipses, and what is no area."""

import json
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import shapely.affinity
from cvat_sdk.masks import encode_mask
from PIL import Image

from flood_seg.classes import IGNORED
from flood_seg.config.compose import compose
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.reading import SampleReader
from flood_seg.errors import DataError, FindingsError
from flood_seg.workshop.convert.cvat import from_cvat

HEIGHT, WIDTH = 60, 80
SQUARE = '<box label="water" xtl="10" ytl="10" xbr="30" ybr="30"/>'
LABELS = "<label><name>water</name></label><label><name>boat</name></label>"


def image(name: str, *shapes: str, more: str = "") -> str:
    return f'<image id="0" name="{name}" width="{WIDTH}" height="{HEIGHT}" {more}>{"".join(shapes)}</image>'


def write(root: Path, *images: str, labels: str = LABELS) -> tuple[Path, Path]:
    """Writes a file of annotations, and an image for each of its names."""
    head = f"<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"
    (root / "c.xml").write_text(f"<annotations>{head}{''.join(images)}</annotations>")
    for one in ElementTree.parse(root / "c.xml").getroot().findall("image"):
        if name := one.get("name"):
            (root / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(root / "in" / name)
    (root / "in").mkdir(exist_ok=True)
    return root / "c.xml", root / "in"


def read(printed: str) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    config = compose("data", shlex.split(printed.strip().rpartition("train with ")[2]), DataToolsConfig)
    pairs, faults = find_samples(config.datamodule)
    assert not faults
    reader = SampleReader.of(config.datamodule, config.task)
    return reader.classes.names, {pair.stem: reader.load(pair)[1] for pair in pairs}


def convert(root: Path, *shapes: str, capsys, **more) -> tuple[np.ndarray, str]:
    from_cvat(*write(root, image("a.png", *shapes), **more), root / "out")
    said = capsys.readouterr()
    return read(said.out)[1]["a"], said.err


def inside(shape: shapely.Geometry) -> np.ndarray:
    """Whether each pixel's centre is, by shapely."""
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    return shapely.contains_xy(shape, columns.ravel(), rows.ravel()).reshape(HEIGHT, WIDTH).astype(np.uint8)


def edge(shape: shapely.Geometry, width: int = 1) -> np.ndarray:
    """Whether each pixel lies within so many pixels of the outline, where rules of drawing may differ."""
    return inside(shape.boundary.buffer(width)) > 0


@pytest.mark.parametrize("rotation", ["", 0, 30, 90, 137.5, 180, 330, 360])
def test_a_box_is_turned_clockwise_about_its_centre(tmp_path, capsys, rotation):
    turn = f'rotation="{rotation}"' if rotation != "" else ""
    given = f'<box label="water" xtl="20" ytl="22" xbr="56" ybr="34" z_order="0" {turn}/>'
    mask, _ = convert(tmp_path, given, capsys=capsys)
    # Shapely turns counterclockwise where y runs upwards, which is clockwise where it runs downwards.
    truth = shapely.affinity.rotate(shapely.box(20, 22, 56, 34), float(rotation or 0), origin=(38, 28))
    wrong = mask != inside(truth)
    assert not (wrong & ~edge(truth)).any()
    assert not wrong.any() if float(rotation or 0) % 90 == 0 else wrong.sum() < 30
    if rotation == 30:
        assert mask[20, 28] and mask[36, 48] and not mask[36, 28] and not mask[20, 48]  # the right end goes down


@pytest.mark.parametrize("rotation", [0, 30, 90, 200])
def test_an_ellipse_is_drawn_and_turned(tmp_path, capsys, rotation):
    given = f'<ellipse label="water" cx="38" cy="28" rx="24" ry="9" rotation="{rotation}"/>'
    mask, said = convert(tmp_path, given, capsys=capsys)
    circle = shapely.Point(38, 28).buffer(1, quad_segs=256)
    truth = shapely.affinity.rotate(shapely.affinity.scale(circle, 24, 9), rotation, origin=(38, 28))
    assert (mask != inside(truth)).sum() <= 2 and not said
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)  # as CVAT itself does, half a pixel off and a pixel wider
    cv2.ellipse(drawn, (38, 28), (24, 9), rotation, 0, 360, 1, thickness=-1)
    assert not ((mask != drawn) & ~edge(truth, 2)).any()


def test_masks_are_drawn_as_cvats_own_library_encodes_them(tmp_path, capsys):
    area = cv2.resize(np.random.default_rng(0).random((6, 8)), (WIDTH, HEIGHT)) > 0.5
    *runs, left, top, right, bottom = (int(value) for value in encode_mask(area))
    place = f'left="{left}" top="{top}" width="{right - left + 1}" height="{bottom - top + 1}"'
    mask, _ = convert(tmp_path, f'<mask label="water" rle="{", ".join(map(str, runs))}" {place}/>', capsys=capsys)
    np.testing.assert_array_equal(mask, area)


def test_what_is_no_area_is_counted(tmp_path, capsys):
    others = ['<points label="boat" points="1,1"/>'] * 3 + ['<polyline label="boat" points="1,1;9,9"/>',
              '<skeleton label="man"><points label="eye" points="1,1"/></skeleton>', '<tag label="boat"/>',
              '<cuboid label="boat" xtl1="1"/>']  # fmt: skip
    mask, said = convert(tmp_path, SQUARE, *others, capsys=capsys)
    assert mask.sum() == 400
    for line in ("3 <points>", "1 <polyline>", "1 <skeleton>", "1 <tag>", "1 <cuboid>"):
        assert f"{line} shapes are not areas and are not drawn (the first: a.png)" in said
    notes = json.loads((tmp_path / "out" / "conversion.json").read_text())["parts"]["all"]["notes"]
    assert len(notes) == 5


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<polygon label="water" points="1,1;9,9"/>', "a polygon has 2 points, fewer than 3"),
        ('<polygon label="water" points="1,1;9,x;3,3"/>', "could not convert"),
        ('<polygon label="water" points="1,1;9,9;inf,3"/>', "inf is not finite"),
        ('<polygon label="water"/>', "cannot be drawn"),
        ('<box label="water" xtl="1" ytl="1" xbr="9"/>', "it has no ybr"),
        ('<box label="water" xtl="1" ytl="1" xbr="9" ybr="9" rotation="nan"/>', "nan is not finite"),
        ('<ellipse label="water" cx="1" cy="1" rx="9"/>', "it has no ry"),
        ('<box xtl="1" ytl="1" xbr="9" ybr="9"/>', "it has no label"),
        ('<box label="water" xtl="1" ytl="1" xbr="9" ybr="9" z_order="top"/>', "invalid literal"),
        ('<mask label="water" rle="3, 9999999999999" left="0" top="0" width="4" height="4"/>', "run lengths sum up"),
        ('<mask label="water" rle="-3, 19" left="0" top="0" width="4" height="4"/>', "run lengths sum up"),
        ('<mask label="water" rle="0, 16" left="78" top="0" width="4" height="4"/>', "bounding box"),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_named_and_the_others_are_drawn(tmp_path, capsys, shape, message):
    with pytest.raises(FindingsError, match="1 entries could not be used"):
        from_cvat(*write(tmp_path, image("a.png", shape, SQUARE)), tmp_path / "out")
    said = capsys.readouterr()
    assert "left out: a.png: a " in said.err and message in said.err
    names, found = read(said.out)
    assert names == ("background", "water", "boat") and found["a"].sum() == 400


def test_shapes_that_cover_nothing_are_counted(tmp_path, capsys):
    shapes = [
        '<ellipse label="water" cx="200" cy="9" rx="5" ry="5"/>',
        '<ellipse label="water" cx="9" cy="9" rx="0" ry="5"/>',
    ]
    _, said = convert(tmp_path, SQUARE, *shapes, capsys=capsys)
    assert "2 areas cover no pixel of their image and are not drawn (the first: a.png)" in said


def test_ignored_areas_and_images_without_any_are_counted(tmp_path, capsys):
    ignored = '<box label="ignore" xtl="40" ytl="0" xbr="50" ybr="10"/>'
    from_cvat(*write(tmp_path, image("a.png", SQUARE, ignored), image("b.png")), tmp_path / "out")
    said = capsys.readouterr()
    mask = read(said.out)[1]["a"]
    assert (mask[:10, 40:50] == IGNORED).all() and (mask == IGNORED).sum() == 100
    assert "1 areas are labelled ignore, and count nowhere" in said.err
    assert "1 of 2 images have no area and are background alone (the first: b.png)" in said.err


def test_subsets_are_parts_whatever_they_are_called_and_others_are_counted(tmp_path, capsys):
    subsets = {"a.png": "Train", "b.png": "Validation", "c.png": "batch 3"}
    images = [image(name, SQUARE, more=f'subset="{subset}"') for name, subset in subsets.items()]
    from_cvat(*write(tmp_path, *images), tmp_path / "out")
    said = capsys.readouterr()
    assert read(said.out)[1].keys() == {"train/a", "val/b"}
    assert "1 images are of a subset that is none of train, val and test; training does not read them" in said.err


def test_an_image_that_is_listed_twice_keeps_the_shapes_of_both(tmp_path, capsys):
    more = '<box label="water" xtl="40" ytl="0" xbr="50" ybr="10"/>'
    from_cvat(*write(tmp_path, image("a.png", SQUARE), image("a.png", more)), tmp_path / "out")
    said = capsys.readouterr()
    assert read(said.out)[1]["a"].sum() == 500 and "1 images are listed again" in said.err


def test_labels_of_a_skeletons_points_and_background_are_no_classes(tmp_path, capsys):
    labels = LABELS + "<label><name>background</name></label><label><name>eye</name><parent>man</parent></label>"
    hole = '<box label="background" xtl="12" ytl="12" xbr="14" ybr="14" z_order="1"/>'
    from_cvat(*write(tmp_path, image("a.png", SQUARE, hole), labels=labels), tmp_path / "out")
    names, found = read(capsys.readouterr().out)
    assert names == ("background", "water", "boat") and found["a"].sum() == 396


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (['<image id="0" width="9" height="9"/>'], "an <image> has no name"),
        (
            ['<image id="0" name="a.png" width="x" height="9"/>'],
            "a.png: its height and width in the file are no numbers",
        ),
        (['<image id="0" name="a.png"/>'], "a.png: its height and width in the file are no numbers"),
        (['<image id="0" name="a.png" width="9" height="9"/>'], "is 80×60, its annotations are of 9×9"),
    ],
)
def test_an_image_that_cannot_be_used_is_named(tmp_path, capsys, images, message):
    with pytest.raises(FindingsError):
        from_cvat(*write(tmp_path, *images), tmp_path / "out")
    assert message in capsys.readouterr().err


def test_a_missing_file_says_how_many_areas_are_lost(tmp_path, capsys):
    file, images = write(tmp_path, image("a.png", SQUARE), image("gone.png", SQUARE, SQUARE))
    (images / "gone.png").unlink()
    with pytest.raises(FindingsError):
        from_cvat(file, images, tmp_path / "out")
    assert "gone.png: no such file; its 2 areas cannot be drawn" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "<a", '<?xml version="1.0" encoding="klingon"?><a/>', "\x00", '<?xml version="9"?>']
)
def test_a_file_that_is_no_xml_is_one_line(tmp_path, text):
    (tmp_path / "c.xml").write_text(text)
    with pytest.raises(DataError, match=r"c\.xml: no XML"):
        from_cvat(tmp_path / "c.xml", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
