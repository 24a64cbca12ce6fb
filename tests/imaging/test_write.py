import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from flood_seg.errors import OutputError
from flood_seg.files import atomic_path, check_name, check_writable, clear_leftovers, write_csv, write_json
from flood_seg.imaging.write import write_image
from tests.conftest import draw_pond


def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "old"


def test_what_killed_processes_left_is_cleared_and_nothing_else(tmp_path):
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    alive = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / ".hydra").mkdir()
    left = [tmp_path / f".last.{ended.pid}.part.ckpt", tmp_path / ".hydra" / f".config.{ended.pid}.part.yaml"]
    left.append(tmp_path / f".best-epoch=03-val_iou=0.8123.{ended.pid}.part.ckpt")
    left.append(tmp_path / f".model.{os.getpid()}.part.onnx")  # a killed process of a container had our number
    (tmp_path / f".best.{ended.pid}.part.ckpt").symlink_to("no such file")
    names = (f".last.{alive.pid}.part.ckpt", "last.ckpt", f"a.{ended.pid}.part.ckpt", ".notes.part.txt", ".a.12x.part")
    kept = [tmp_path / name for name in names]
    for path in (*left, *kept):
        path.touch()
    try:
        assert clear_leftovers(tmp_path) == sorted([*left, tmp_path / f".best.{ended.pid}.part.ckpt"])
    finally:
        alive.communicate(b"\n")
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / ".hydra"])
    assert not any((tmp_path / ".hydra").iterdir())


def test_the_file_appears_whole_and_its_folders_are_made(tmp_path):
    path = tmp_path / "new" / "deep" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "whole"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written") as error:
        write_json(tmp_path / "file" / "a.json", {})
    assert "\n" not in str(error.value)


def test_images_come_back_as_they_were(tmp_path):
    image, mask = draw_pond(0)
    write_image(tmp_path / "a.png", image)
    write_image(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "a.png")), image)
    with Image.open(tmp_path / "m.png") as opened:
        assert opened.mode == "L"
        np.testing.assert_array_equal(np.array(opened), mask)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(OutputError, match="not an image format"):
        write_image(tmp_path / "a.xyz", draw_pond(0)[0])


def test_json_keeps_letters_of_all_languages(tmp_path):
    write_json(tmp_path / "a.json", {"Überflutung": 1})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"Überflutung": 1}
    assert "Ü" in (tmp_path / "a.json").read_text("utf-8")


def test_a_place_that_cannot_be_written_is_found_beforehand_and_nothing_is_made(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    check_writable(tmp_path / "file", folder=False)  # is replaced
    with pytest.raises(OutputError, match=r"file: is a file; give a folder"):
        check_writable(tmp_path / "file")
    with pytest.raises(OutputError, match=r"is a folder; give a file"):
        check_writable(tmp_path, folder=False)
    with pytest.raises(OutputError, match=r"file/out: .*/file is a file; choose another place"):
        check_writable(tmp_path / "file" / "out")


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "ü" * 125 + ".png", "x." + "y" * 253, "a"])
def test_a_name_as_long_as_the_file_system_takes_can_be_written(tmp_path, name):
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("whole")
        assert len(os.fsencode(temporary.name)) <= max(len(os.fsencode(name)), 128)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_long_names_that_begin_alike_are_written_side_by_side(tmp_path):
    first, second = (tmp_path / f"{'n' * 240}{end}.png" for end in "ab")
    with atomic_path(first) as one, atomic_path(second) as other:
        one.write_text("one")
        other.write_text("other")
    assert (first.read_text(), second.read_text()) == ("one", "other")


def test_a_name_that_is_too_long_is_one_line_before_and_at_the_writing(tmp_path):
    path = tmp_path / ("n" * 252 + ".png")
    for write in (check_name, lambda path: write_json(path, {})):
        with pytest.raises(OutputError) as error:
            write(path)
        assert "\n" not in str(error.value)
    check_name(tmp_path / "not there yet" / ("n" * 251 + ".png"))
    assert not list(tmp_path.iterdir())


def test_a_device_a_pipe_or_a_link_to_one_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "null.json").symlink_to(os.devnull)
    for name in ("pipe.json", "null.json"):
        with pytest.raises(OutputError, match=f"{name}: is not a regular file"):
            write_json(tmp_path / name, {})
    assert (tmp_path / "pipe.json").is_fifo() and (tmp_path / "null.json").is_symlink()


def test_bytes_that_are_not_utf_8_are_written_as_json_and_python_write_them(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "a.json", {name: name})
    write_csv(tmp_path / "a.csv", ["name"], [[name]])
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {name: name}
    assert (tmp_path / "a.csv").read_text("utf-8") == "name\ncaf\\udce9\n"
