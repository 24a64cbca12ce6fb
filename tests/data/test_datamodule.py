from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from flood_seg.classes import IGNORED
from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import AugmentationConfig, DataConfig, OutputConfig, TrainConfig
from flood_seg.data.augmentation.pipeline import build_augmentation
from flood_seg.data.datamodule import FloodDataModule, load_store
from flood_seg.data.layout import choose_split
from flood_seg.errors import DataError
from flood_seg.imaging.preprocess import preprocess
from flood_seg.inference.files import Job
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.segment import ImageState, Segmenter
from flood_seg.spec import ModelSpec
from flood_seg.verbs.train_parts import make_spec as train_spec
from tests.conftest import make_spec, read_image


def open_module(folder: Path, **options: object) -> FloodDataModule:
    config = defaults(DataConfig, **({"data_dir": str(folder), "height": 64, "width": 64, "batch_size": 4} | options))
    store = load_store(config, "binary")
    split = choose_split(config, store.pairs, 42)
    return FloodDataModule(config, make_spec(), store, split, build_augmentation(defaults(AugmentationConfig)), 42)


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


@pytest.mark.parametrize("kind", ["alpha", "undeclared nodata"])
def test_a_validation_sample_without_data_in_places_is_what_infer_feeds_too(ponds, kind):
    """What the model's record says of nodata is all that infer knows."""
    for path in sorted((ponds / "images").iterdir()):
        photo = np.array(Image.open(path))
        unseen = np.zeros(photo.shape[:2], bool)
        unseen[:30, :11] = True
        path.unlink()
        if kind == "alpha":
            alpha = np.where(unseen, 0, 255).astype(np.uint8)
            Image.fromarray(np.dstack([photo, alpha])).save(path.with_suffix(".png"))
        else:
            bands = np.where(unseen, np.float32(-9999), np.moveaxis(photo, 2, 0).astype(np.float32))
            place = {"crs": "EPSG:32632", "transform": rasterio.Affine(1, 0, 0, 0, -1, 0)}
            with rasterio.open(
                path.with_suffix(".tif"), "w", height=64, width=80, count=3, dtype="float32", **place
            ) as out:
                out.write(bands)
    options = [f"datamodule.data_dir='{ponds}'", "datamodule.height=48", "datamodule.val_split=0.5"]
    more = [] if kind == "alpha" else ["datamodule.bands=[a,b,c]", "datamodule.nodata=-9999"]
    config = compose("train", [*options, *more], TrainConfig)
    spec = ModelSpec.from_json(train_spec(config).to_json())
    store = load_store(config.datamodule, "binary")
    module = FloodDataModule(config.datamodule, spec, store, choose_split(config.datamodule, store.pairs, 42), None, 42)
    predictor = Predictor(SimpleNamespace(spec=spec))
    segmenter = Segmenter(predictor, defaults(OutputConfig), overlay=False)
    for index, stem in enumerate(module.split.val):
        file = next((ponds / "images").glob(f"{stem}.*"))
        (photo,) = segmenter.read([ImageState(Job(file, file))])
        sample = module.val_set[index]
        np.testing.assert_array_equal(sample["image"].numpy(), photo.inputs[0])
        assert 0 < float((sample["mask"] == IGNORED).float().mean()) == pytest.approx(330 / 5120, abs=0.02)
    assert module.ignores


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
    out = capsys.readouterr().out
    assert out.count("the file is empty") == 1 and "00.jpg, 01.jpg, 02.jpg and 7 more" in out
    assert "flood-seg data check lists each; FLOOD_SEG_FAULTS=all names each here" in out


def test_faults_are_shown_and_left_out_or_stop_the_run(ponds, capsys):
    (ponds / "images" / "03.jpg").write_bytes(b"")
    module = open_module(ponds)
    assert len(module.train_set) + len(module.val_set) == 9
    out = capsys.readouterr().out
    assert "the file is empty" in out and "1 faulty samples are skipped, 9 pairs are used" in out
    with pytest.raises(DataError, match="1 faulty samples; fix them"):
        open_module(ponds, on_bad_sample="fail")


def test_the_fingerprint_changes_with_a_file(ponds):
    before = open_module(ponds).fingerprint
    assert before == open_module(ponds).fingerprint
    Image.open(ponds / "images" / "00.jpg").rotate(180).save(ponds / "images" / "00.jpg")
    assert before != open_module(ponds).fingerprint
