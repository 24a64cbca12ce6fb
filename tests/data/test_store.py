import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flood_seg.classes import IGNORED
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig
from flood_seg.data.pairing import find_pairs
from flood_seg.data.reading import SampleReader
from flood_seg.data.store import open_store
from flood_seg.errors import OutOfMemoryError, OutputError
from tests.conftest import draw_pond

READER = SampleReader.of(defaults(DataConfig), "binary")


def open_folder(folder: Path, cache: str = "ram", size: tuple[int, int] = (32, 48), cache_dir: Path | None = None):
    return open_store(find_pairs(folder / "images", folder / "masks")[0], READER, *size, cache, cache_dir)


def test_every_faulty_pair_is_named_with_its_reason(ponds):
    images, masks = ponds / "images", ponds / "masks"
    (images / "00.jpg").write_bytes(b"")
    (images / "01.jpg").write_bytes((images / "01.jpg").read_bytes()[:900])
    (masks / "02.png").write_bytes(b"no image")
    Image.fromarray(draw_pond(3, 90, 60)[1]).save(masks / "03.png")
    Image.fromarray(draw_pond(4)[0]).save(masks / "04.png")
    store = open_folder(ponds)
    assert [pair.stem for pair in store.pairs] == ["05", "06", "07", "08", "09"]
    reasons = {fault.stem: (fault.path.name, fault.reason) for fault in store.faults}
    assert reasons["00"] == ("00.jpg", "the file is empty")
    assert reasons["01"][0] == "01.jpg" and "truncated" in reasons["01"][1]
    assert reasons["02"] == ("02.png", "not an image")
    assert reasons["03"][1] == "mask of another shape: image 80×64, mask 60×90"
    assert reasons["04"][0] == "04.png" and "mid-grey" in reasons["04"][1]


def test_swapped_masks_of_another_shape_are_both_found(ponds):
    image, mask = draw_pond(50, 60, 100)
    Image.fromarray(image).save(ponds / "images" / "00.jpg")
    Image.fromarray(mask).save(ponds / "masks" / "01.png")
    assert [fault.stem for fault in open_folder(ponds).faults] == ["00", "01"]


def test_a_mask_of_the_same_shape_is_resized_to_the_nearest_pixel(ponds):
    mask = draw_pond(0)[1]
    Image.fromarray(mask).resize((160, 128), Image.Resampling.NEAREST).save(ponds / "masks" / "00.png")
    store = open_folder(ponds, size=(64, 80))
    assert not store.faults
    np.testing.assert_array_equal(store[0][1], mask > 0)


def test_a_phone_photo_and_its_upright_mask_are_a_pair(ponds):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(np.rot90(draw_pond(0)[0]))
    lying.save(ponds / "images" / "00.jpg", exif=exif, quality=95)
    store = open_folder(ponds, size=(64, 80))
    assert not store.faults
    assert np.abs(store[0][0].astype(int) - draw_pond(0)[0]).mean() < 12  # upright, but for JPEG's losses


def test_memory_disk_and_decoding_give_the_same_samples(ponds, tmp_path):
    stores = [open_folder(ponds, cache, cache_dir=tmp_path / "cache") for cache in ("ram", "disk", "none")]
    for index in range(10):
        for image, mask in (store[index] for store in stores[1:]):
            np.testing.assert_array_equal(image, stores[0][index][0])
            np.testing.assert_array_equal(mask, stores[0][index][1])


@pytest.fixture
def decoded(monkeypatch):
    """Counts how many pairs are decoded."""
    stems: list[str] = []
    real = SampleReader.load_at

    def counting(self, pair, height, width):
        stems.append(pair.stem)
        return real(self, pair, height, width)

    monkeypatch.setattr(SampleReader, "load_at", counting)
    return stems


def test_each_pair_is_decoded_once(ponds, decoded):
    store = open_folder(ponds)
    for _ in range(3):
        for index in range(10):
            store[index]
    assert sorted(decoded) == [f"{number:02d}" for number in range(10)]


def test_the_disk_cache_serves_the_next_run_until_a_file_or_the_size_changes(ponds, tmp_path, decoded):
    (ponds / "images" / "00.jpg").write_bytes(b"")
    first = open_folder(ponds, "disk", cache_dir=tmp_path)
    decoded.clear()
    again = open_folder(ponds, "disk", cache_dir=tmp_path)
    assert not decoded and again.faults == first.faults
    open_folder(ponds, "disk", (32, 32), tmp_path)
    assert len(decoded) == 10
    decoded.clear()
    os.utime(ponds / "masks" / "05.png", (1, 1))
    open_folder(ponds, "disk", cache_dir=tmp_path)
    assert len(decoded) == 10


@pytest.mark.parametrize("cache", ["ram", "disk", "none"])
def test_a_store_knows_whether_its_masks_have_ignored_pixels(ponds, tmp_path, cache):
    assert not open_folder(ponds, cache, cache_dir=tmp_path / "cache").ignores
    image, _ = draw_pond(3)
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[:20] = 0
    (ponds / "images" / "03.jpg").unlink()
    Image.fromarray(np.dstack([image, alpha])).save(ponds / "images" / "03.png")
    for _ in range(2):  # written to the disk, and found there
        store = open_folder(ponds, cache, size=(64, 80), cache_dir=tmp_path / "cache")
        assert store.ignores
        np.testing.assert_array_equal(store[3][1] == IGNORED, alpha == 0)


def test_samples_that_no_memory_or_disk_holds_are_refused_before_any_is_decoded(ponds, tmp_path, decoded):
    pairs, _ = find_pairs(ponds / "images", ponds / "masks")
    reader, side = SampleReader.of(defaults(DataConfig, data_dir=[str(ponds)]), "binary"), 3_000_000
    with pytest.raises(OutOfMemoryError, match=r"10 samples of 3000000×3000000; set datamodule.cache=disk"):
        open_store(pairs, reader, side, side, "ram")
    with pytest.raises(OutputError, match=r"the samples need 3.6e\+05 GB, .* GB are free; set datamodule.cache_dir"):
        open_store(pairs, reader, side, side, "disk", tmp_path / "cache")
    assert not decoded and not list((tmp_path / "cache").iterdir())
