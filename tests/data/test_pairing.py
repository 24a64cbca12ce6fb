from unicodedata import normalize

import pytest
from PIL import Image

from flood_seg.data.pairing import find_pairs
from flood_seg.errors import DataError


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (4, 4)).save(folder / name, "PNG")
    return folder


def test_stems_pair_whatever_suffix_case_spaces_and_letters(tmp_path):
    images = touch(tmp_path / "images", "a.JPG", "b c.webp", normalize("NFC", "é.tiff"), "d.e.png")
    masks = touch(tmp_path / "masks", "a.png", "b c.PNG", normalize("NFD", "é.png"), "d.e.bmp")
    pairs, faults = find_pairs(images, masks)
    assert [pair.stem for pair in pairs] == ["a", "b c", "d.e", normalize("NFC", "é")]
    assert not faults


def test_what_has_no_partner_or_a_rival_is_named(tmp_path):
    images = touch(tmp_path / "images", "a.jpg", "only.jpg", "twice.jpg", "twice.png")
    masks = touch(tmp_path / "masks", "a.png", "alone.png", "twice.png")
    pairs, faults = find_pairs(images, masks)
    assert [pair.stem for pair in pairs] == ["a"]
    assert {fault.stem: fault.reason for fault in faults} == {
        "alone": "mask without an image",
        "only": "image without a mask",
        "twice": "same stem as twice.jpg",
    }


def test_hidden_and_other_files_are_passed_over(tmp_path):
    images, masks = touch(tmp_path / "images", "a.jpg", ".b.jpg"), touch(tmp_path / "masks", "a.png")
    (images / "notes.txt").write_text("")
    (masks / "a.json").write_text("")
    (images / "folder.jpg").mkdir()
    pairs, faults = find_pairs(images, masks)
    assert len(pairs) == 1 and not faults


def test_missing_and_empty_folders_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"no such folder; datamodule.data_dir .or --data. is the folder that holds it"):
        find_pairs(tmp_path / "images", tmp_path / "masks")
    with pytest.raises(DataError, match="no image in it"):
        find_pairs(touch(tmp_path / "images"), tmp_path)
