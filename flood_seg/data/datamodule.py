"""The way from a folder to batches: samples as the network takes them, their order, and the loaders."""

from __future__ import annotations

from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, TypedDict

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from flood_seg.console import say, show_table
from flood_seg.data.layout import choose_part, find_samples
from flood_seg.data.pairing import Fault
from flood_seg.data.prepare import prepare_data
from flood_seg.data.reading import SampleReader
from flood_seg.data.split import Split
from flood_seg.data.store import SampleStore, cache_folder, cache_key, open_store
from flood_seg.errors import DataError
from flood_seg.files import cached_json
from flood_seg.imaging.preprocess import normalize
from flood_seg.resources import cores
from flood_seg.skipped import CHECK, EVERY, NAMED, first_of, grouped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import albumentations as A

    from flood_seg.config.schema import DataConfig
    from flood_seg.spec import ModelSpec


class NetworkSample(TypedDict):
    """A sample as the network takes it.

    image: float32 [bands, height, width], resized and normalized as by `preprocess`;
    mask: uint8 [height, width] class indices, `IGNORED` for pixels excluded from loss and metrics;
    index: int64, the sample's place in the data set.
    """

    image: torch.Tensor
    mask: torch.Tensor
    index: torch.Tensor


class FloodDataset(Dataset[NetworkSample]):
    """Samples of a store; augmented ones depend on (seed, epoch, index) alone.

    So an epoch's samples are the same in however many workers, and in a resumed run.
    """

    def __init__(
        self,
        store: SampleStore,
        indices: Sequence[int],
        spec: ModelSpec,
        augmentation: A.Compose | None = None,
        seed: int = 0,
        *,
        training: bool = False,
    ) -> None:
        """Takes samples unchanged, or with `training` augmented, with windows of rasters redrawn each epoch."""
        self.store, self.indices, self.spec = store, indices, spec
        self.augmentation, self.seed, self.training = augmentation, seed, training

    def __len__(self) -> int:
        return len(self.indices)

    def raw(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns image, any dtype [height, width, bands], and class indices uint8 [height, width], augmented."""
        if not self.training:
            return self.store[self.indices[index]]
        digest = blake2b(repr((self.seed, epoch, index)).encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "big")
        image, mask = self.store.draw(self.indices[index], np.random.default_rng(seed))
        if self.augmentation is None:
            return image, mask
        self.augmentation.set_random_seed(seed)
        augmented = self.augmentation(image=image, mask=mask)
        return augmented["image"], augmented["mask"]

    def __getitem__(self, key: int | tuple[int, int]) -> NetworkSample:
        """Returns a sample; the key is an index, or (epoch, index) as `EpochSampler` gives it."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        image, mask = self.raw(epoch, index)
        return {
            "image": torch.from_numpy(normalize(image, self.spec)),
            "mask": torch.tensor(mask),  # copied: a cached mask must not be shared
            "index": torch.tensor(index),
        }


class EpochSampler(Sampler[tuple[int, int]]):
    """Shuffles by (seed, epoch) alone and passes the epoch on to the data set; Lightning calls `set_epoch`.

    With several processes, each gets the same number of samples, disjoint from the others'; fewer samples than
    processes are left out of an epoch.
    """

    def __init__(self, count: int, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.count, self.seed, self.epoch = count, seed, 0
        self.rank, self.processes = rank, processes

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.processes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        mine = order[self.rank :: self.processes][: len(self)]
        return iter([(self.epoch, int(index)) for index in mine])


def load_store(config: DataConfig, task: str, part: str | None = None) -> SampleStore:
    """Pairs, decodes and checks the data set; names what is faulty in one table; `part` as of `find_samples`.

    Raises:
        DataError: a folder is missing, no pair is usable, one is faulty and `on_bad_sample` is `fail`, or a mask has a
            value that the labels do not list.
    """
    pairs, unpaired = find_samples(config, part)
    reader, folder = SampleReader.of(config, task), cache_folder(config.cache_dir)
    store = open_store(pairs, reader, config.height, config.width, config.cache, folder)
    _report_faults(unpaired + store.faults, len(store.pairs), config)
    return store


def _report_faults(faults: list[Fault], usable: int, config: DataConfig) -> None:
    if faults:
        groups = grouped((fault.path.name, fault.reason) for fault in faults)
        rows = [(len(names), reason, first_of(names)) for reason, names in groups]
        show_table("Faulty samples", ("count", "reason", "files"), rows)
        if any(len(names) > NAMED for _, names in groups):
            say(f"{CHECK}; {EVERY} here")
    if not usable:
        first = f"{faults[0].path.name}: {faults[0].reason}" if faults else "there is none"
        raise DataError(f"{config.place}: no usable pair of image and mask; {first}")
    if faults and config.on_bad_sample == "fail":
        raise DataError(f"{config.place}: {len(faults)} faulty samples; fix them or set datamodule.on_bad_sample=skip")
    if faults:
        say(f"{len(faults)} faulty samples are skipped, {usable} pairs are used (datamodule.on_bad_sample=skip).")


def _whole_set(config: DataConfig, spec: ModelSpec, name: str) -> FloodDataset:
    """Returns a further validation set: its validation part if a split file or the layout has one, else all of it."""
    say(f"Validation set {name}:")
    prepare_data(config)
    store = load_store(config, spec.task, part="val")
    chosen = {pair.stem for pair in choose_part(config, store.pairs, "auto")}
    return FloodDataset(store, [i for i, pair in enumerate(store.pairs) if pair.stem in chosen], spec)


class FloodDataModule(pl.LightningDataModule):
    """Batches of the training and the validation part, and of further validation sets.

    With `extra_val_only` there are only the further ones; `val_set`, whose samples are drawn, is the first of them.
    """

    def __init__(
        self,
        config: DataConfig,
        spec: ModelSpec,
        store: SampleStore,
        split: Split,
        augmentation: A.Compose | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.config, self.spec, self.store, self.split, self.seed = config, spec, store, split, seed
        place = {pair.stem: index for index, pair in enumerate(store.pairs)}
        self.train_set = FloodDataset(store, [place[s] for s in split.train], spec, augmentation, seed, training=True)
        extra = [_whole_set(config.extra(name), spec, name) for name in config.extra_val or ()]
        own = [] if config.extra_val_only else [FloodDataset(store, [place[s] for s in split.val], spec)]
        self.val_sets = [*own, *extra]
        self.val_set = self.val_sets[0]

    @property
    def ignores(self) -> bool:
        """Whether a mask may hold ignored pixels: of the data set, or of a further validation set."""
        return any(samples.store.ignores for samples in (self.train_set, *self.val_sets))

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that identify the files by name and size, independent of their location."""
        files = [(pair.stem, pair.image.stat().st_size, pair.mask.stat().st_size) for pair in self.store.pairs]
        return sha256(repr(files).encode()).hexdigest()[:16]

    def count_pixels(self) -> np.ndarray:
        """Counts the pixels of each class in the training part at network size, int64 [classes], once."""
        config, classes = self.config, len(self.spec.class_names)
        chosen = [self.store.pairs[index] for index in self.train_set.indices]
        reader = SampleReader.of(config, self.spec.task)

        def count() -> list[int]:
            counts = np.zeros(256, np.int64)
            for index in self.train_set.indices:
                counts += np.bincount(self.store[index][1].ravel(), minlength=256)
            return list(map(int, counts[:classes]))

        name = cache_key(chosen, reader, config.height, config.width)
        return np.array(cached_json(cache_folder(config.cache_dir) / f"{name}.pixels.json", count))

    def train_dataloader(self) -> DataLoader[NetworkSample]:
        """Shuffled, augmented batches; a last batch of one sample is dropped, since BatchNorm cannot use it."""
        sampler = EpochSampler(len(self.train_set), self.seed, *self._rank())
        count, size = len(sampler), self.config.batch_size
        drop_last = count > size and count % size == 1
        return self._loader(self.train_set, sampler=sampler, drop_last=drop_last)

    def val_dataloader(self) -> list[DataLoader[NetworkSample]]:
        """A loader for each of `val_sets`: every sample once, in alphabetical order of the stems.

        Of several processes each has its share, some one more than others; no sample is counted twice.
        """
        rank, processes = self._rank()
        return [self._loader(samples, sampler=range(rank, len(samples), processes)) for samples in self.val_sets]

    def _rank(self) -> tuple[int, int]:
        """Returns this process's number and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, dataset: FloodDataset, **options: object) -> DataLoader[NetworkSample]:
        on_gpu = self.trainer is not None and self.trainer.accelerator.__class__.__name__ == "CUDAAccelerator"
        workers = self.config.num_workers
        if workers is None:
            # On the CPU a worker would take its core from the network.
            workers = min(8, cores()) if on_gpu else 0
        if workers:
            # A forked worker inherits OpenCV's thread pool without its threads, and waits for them forever.
            cv2.setNumThreads(0)
        return DataLoader(
            dataset,
            batch_size=self.config.batch_size,
            num_workers=workers,
            pin_memory=on_gpu,
            persistent_workers=workers > 0,
            **options,  # type: ignore[arg-type]
        )
