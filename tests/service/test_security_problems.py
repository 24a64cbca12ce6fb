"""Errors as problem details: each class has its status, and no message tells of folders of this machine."""

from __future__ import annotations

import string
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flood_seg import errors
from flood_seg.errors import FloodSegError, ImageError
from flood_seg.service.problems import STATUSES, Problem, without_paths

CLASSES = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, FloodSegError)}
# What is wrong with a request; the others are of the service itself
CALLERS = {"UsageError", "ConfigError", "DataError", "ImageError", "LogitsError", "FindingsError", "StoreError",
           "PartialFailureError", "FloodSegError", "FormatError"}  # fmt: skip


def test_each_class_of_errors_has_a_status() -> None:
    assert set(STATUSES) == CLASSES
    assert {one.__name__ for one in CLASSES if 400 <= STATUSES[one] < 500} == CALLERS


@pytest.mark.timeout(10)
@pytest.mark.parametrize("part", ["/a", "'/a", "a-", "/a b", "'/", "//", "\\\\a"])
def test_a_long_text_of_a_caller_is_read_once(part: str) -> None:
    without_paths(f"'{part * 60_000}")  # took minutes when each slash was searched for the quote anew


def test_a_long_word_is_shortened_after_its_folders_are_gone() -> None:
    detail = Problem.of(ImageError(f"/private/{'x' * 400}/scene.tif: is damaged")).detail
    assert detail == "scene.tif: is damaged"


@pytest.mark.parametrize(
    "text",
    [
        "3/4 of the shapes", "image/png or application/geo+json", "https://host/a/b.tif?x=/a/b: answers 404", "and/or",
        "s3://bucket/folder/a.tif: is missing", "inputs/scene.tif: is damaged", "12.5 km/h", "a / b", "7/8, 3/4; 1/2",
        "redis://localhost:6379/0", "either png/jpeg", "POST /predict takes image/png",
    ],
)  # fmt: skip
def test_what_is_no_path_stays(text: str) -> None:
    assert without_paths(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/data/private/scene.tif: has 3/4 of its rows", "scene.tif: has 3/4 of its rows"),
        ("/data/my private scenes/scene.tif: is damaged", "scene.tif: is damaged"),
        ("cannot open '/data/my scenes/of june/a b.tif' as image/png", "cannot open 'a b.tif' as image/png"),
        ("/data/a.tif and /data/b.tif differ in 3/4", "a.tif and b.tif differ in 3/4"),
        (r"C:\Users\me\My Scenes\scene.tif: is damaged", "scene.tif: is damaged"),
        ("D:/data/x/scene.tif: is damaged", "scene.tif: is damaged"),
        (r"\\server\share\scene.tif: is damaged", "scene.tif: is damaged"),
        ("file:///home/me/my%20scenes/scene.tif: is damaged", "scene.tif: is damaged"),
        ("file:/home/me/scene.tif", "scene.tif"),
        ("~/scenes/scene.tif: is damaged", "scene.tif: is damaged"),
        ("../../other/scene.tif: is damaged", "scene.tif: is damaged"),
        ("(/usr/lib/x.so), see https://host/a/b", "(x.so), see https://host/a/b"),
        ("the folder /data/jobs/x/ is full", "the folder x is full"),
        ("path=/data/jobs/scene.tif", "path=scene.tif"),
        ("_TIFFVSetField:/data/.new-1/inputs/scene.tif: Bad value 0", "_TIFFVSetField:scene.tif: Bad value 0"),
    ],
)
def test_of_a_path_the_last_part_is_told(text: str, told: str) -> None:
    assert without_paths(text) == told


LETTERS = string.ascii_letters + string.digits + "_-éя"
NAME = st.text(LETTERS, min_size=1, max_size=8).map(lambda text: f"Q{text}Z")  # which no template below has
FOLDER = st.one_of(NAME, st.tuples(NAME, NAME).map(" ".join), NAME.map(lambda name: f".{name}.d"))
TEMPLATES = st.sampled_from(
    ["{}: is damaged", "cannot open {}; give another", "'{}' is missing", 'no such file: "{}"', "({})", "x={}", "{}",
     "first line, {}, 3/4 of it, image/png"]
)  # fmt: skip
ROOTS = st.sampled_from([("/", "/"), ("C:\\", "\\"), ("C:/", "/"), ("file:///", "/"), ("~/", "/"), ("\\\\", "\\")])


@given(st.lists(FOLDER, min_size=1, max_size=5), TEMPLATES, ROOTS)
def test_no_folder_is_told(folders: list[str], template: str, root: tuple[str, str]) -> None:
    start, separator = root
    steps = [quote(folder) for folder in folders] if start.startswith("file") else folders
    told = without_paths(template.format(start + separator.join([*steps, "scene.tif"])))
    assert told == template.format("scene.tif")


def test_long_texts_take_no_longer_than_they_are() -> None:
    started = time.perf_counter()
    without_paths("'/" + "a/" * 50_000)
    assert time.perf_counter() - started < 5
