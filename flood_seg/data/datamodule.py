"""The way from a folder to batches: pair, check, split, load."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import cv2
import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from flood_seg.console import say, show_table
from flood_seg.data.dataset import Batch, EpochSampler, FloodDataset
from flood_seg.data.layout import choose_part, find_samples
from flood_seg.data.pairing import Fault
from flood_seg.data.reading import SampleReader
from flood_seg.data.split import Split
from flood_seg.data.store import SampleStore, count_classes, default_cache_dir, fingerprint, open_store
from flood_seg.errors import DataError
from flood_seg.files import cached_json
from flood_seg.resources import cores
from flood_seg.skipped import CHECK, EVERY, NAMED, first_of, grouped

if TYPE_CHECKING:
    import albumentations as A

    from flood_seg.config.schema import DataConfig
    from flood_seg.spec import ModelSpec


def load_store(config: DataConfig, task: str, part: str | None = None) -> SampleStore:
    """Pairs, decodes and checks the data set; names what is faulty in one table; `part` as of `find_samples`.

    Raises:
        DataError: a folder is missing, no pair is usable, one is faulty and `on_bad_sample` is `fail`, or a mask has a
            value that the labels do not list.
    """
    if config.sample is not None:
        from flood_seg.synthetic.sample_set import write_sample

        write_sample(config.folders[0], config.sample)
    pairs, unpaired = find_samples(config, part)
    cache_dir = Path(config.cache_dir) if config.cache_dir else None
    store = open_store(pairs, SampleReader.of(config, task), config.height, config.width, config.cache, cache_dir)
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
    """Returns a further validation set: its validation part where something says which that is, else all of it."""
    say(f"Validation set {name}:")
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
        """Sixteen hexadecimal digits that stand for the files that were used, by name and size, wherever they lie."""
        files = [(pair.stem, pair.image.stat().st_size, pair.mask.stat().st_size) for pair in self.store.pairs]
        return sha256(repr(files).encode()).hexdigest()[:16]

    def count_pixels(self) -> np.ndarray:
        """Counts the pixels of each class in the training part at network size, int64 [classes], once."""
        config, classes = self.config, len(self.spec.class_names)
        chosen = [self.store.pairs[index] for index in self.train_set.indices]
        reader = SampleReader.of(config, self.spec.task)
        name = fingerprint(chosen, reader, config.height, config.width)
        folder = Path(config.cache_dir) if config.cache_dir else default_cache_dir()
        counts = cached_json(
            folder / f"{name}.pixels.json", lambda: count_classes(self.store, self.train_set.indices, classes).tolist()
        )
        return np.array(counts)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, augmented batches; a last batch of one is dropped, for BatchNorm cannot use it."""
        sampler = EpochSampler(len(self.train_set), self.seed, *self._rank())
        count, size = len(sampler), self.config.batch_size
        drop_last = count > size and count % size == 1
        return self._loader(self.train_set, sampler=sampler, drop_last=drop_last)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """A loader for each of `val_sets`: every sample once, in alphabetical order of the stems.

        Of several processes each has its share, some one more than others; no sample is counted twice.
        """
        rank, processes = self._rank()
        return [self._loader(samples, sampler=range(rank, len(samples), processes)) for samples in self.val_sets]

    def _rank(self) -> tuple[int, int]:
        """Returns this process's number and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, dataset: FloodDataset, **options: object) -> DataLoader[Batch]:
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
