from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flood_seg.data.augmentation import build_augmentation
from flood_seg.data.datamodule import FloodDataModule, load_store
from flood_seg.data.layout import choose_split
from flood_seg.errors import DataError
from flood_seg.imaging.preprocess import preprocess
from flood_seg.imaging.read import read_image
from flood_seg.schema import AugmentationConfig, DataConfig
from tests.conftest import make_spec


def open_module(folder: Path, **options: object) -> FloodDataModule:
    config = DataConfig(**({"data_dir": str(folder), "height": 64, "width": 64, "batch_size": 4} | options))
    store = load_store(config, "binary")
    split = choose_split(config, store.pairs, 42)
    return FloodDataModule(config, make_spec(), store, split, build_augmentation(AugmentationConfig()), 42)


def test_a_validation_sample_is_to_the_bit_what_infer_feeds_the_model(ponds):
    """Among them a phone photo that lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in sorted((ponds / "images").iterdir()):
        with Image.open(path) as opened:
            opened.rotate(90, expand=True).save(path, exif=exif)
    module = open_module(ponds, val_split=0.5)
    assert len(module.val_set) == 5
    for index, stem in enumerate(module.split.val):
        expected = preprocess(read_image(ponds / "images" / f"{stem}.jpg"), make_spec())
        np.testing.assert_array_equal(module.val_set[index]["image"].numpy(), expected)


def test_a_sample_depends_on_seed_epoch_and_index_alone(ponds):
    one, two = open_module(ponds), open_module(ponds)
    one.train_set[(3, 1)]
    assert torch.equal(one.train_set[(0, 2)]["image"], two.train_set[(0, 2)]["image"])
    assert not torch.equal(one.train_set[(0, 2)]["image"], one.train_set[(1, 2)]["image"])


def test_workers_change_nothing(ponds):
    def batches(workers: int) -> list[torch.Tensor]:
        loader = open_module(ponds, num_workers=workers).train_dataloader()
        loader.sampler.set_epoch(2)
        return [batch["image"] for batch in loader]

    alone, helped = batches(0), batches(2)
    assert len(alone) == len(helped) == 2
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own(ponds):
    loader = open_module(ponds).train_dataloader()

    def order(epoch: int) -> list[int]:
        loader.sampler.set_epoch(epoch)
        return [int(index) for batch in loader for index in batch["index"]]

    assert sorted(order(0)) == sorted(order(1)) == list(range(8))
    assert order(0) == order(0) != order(1)


@pytest.mark.parametrize(("size", "batches"), [(7, [7]), (4, [4, 4]), (3, [3, 3, 2]), (100, [8]), (1, [1] * 8)])
def test_a_last_batch_of_one_is_dropped_and_nothing_else(ponds, size, batches):
    loader = open_module(ponds, batch_size=size).train_dataloader()
    assert [len(batch["image"]) for batch in loader] == batches


def test_without_a_usable_pair_nothing_starts(ponds, capsys):
    for path in (ponds / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no usable pair"):
        open_module(ponds)
    assert capsys.readouterr().out.count("the file is empty") == 10


def test_faults_are_shown_and_left_out_or_stop_the_run(ponds, capsys):
    (ponds / "images" / "03.jpg").write_bytes(b"")
    module = open_module(ponds)
    assert len(module.train_set) + len(module.val_set) == 9
    out = capsys.readouterr().out
    assert "the file is empty" in out and "1 faulty samples left out, 9 pairs are used" in out
    with pytest.raises(DataError, match="1 faulty samples; mend them"):
        open_module(ponds, on_bad_sample="fail")


def test_the_fingerprint_changes_with_a_file(ponds):
    before = open_module(ponds).fingerprint
    assert before == open_module(ponds).fingerprint
    Image.open(ponds / "images" / "00.jpg").rotate(180).save(ponds / "images" / "00.jpg")
    assert before != open_module(ponds).fingerprint
