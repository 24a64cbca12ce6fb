"""Samples as the network takes them."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from flood_seg.imaging.preprocess import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import albumentations as A

    from flood_seg.data.store import SampleStore
    from flood_seg.spec import ModelSpec


class Batch(TypedDict):
    """A sample, or a batch of them with a leading axis.

    image: float32 [bands, height, width], resized and normalized as by `preprocess`;
    mask: uint8 [height, width] class indices, `IGNORED` where a pixel counts nowhere;
    index: int64, the sample's place in the data set.
    """

    image: torch.Tensor
    mask: torch.Tensor
    index: torch.Tensor


class FloodDataset(Dataset[Batch]):
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
        seed = _seed(self.seed, epoch, index)
        image, mask = self.store.draw(self.indices[index], np.random.default_rng(seed))
        if self.augmentation is None:
            return image, mask
        self.augmentation.set_random_seed(seed)
        augmented = self.augmentation(image=image, mask=mask)
        return augmented["image"], augmented["mask"]

    def __getitem__(self, key: int | tuple[int, int]) -> Batch:
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

    Of several processes each gets as many samples as the others, another one's none; at most one a process is left over
    in an epoch.
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


def _seed(*parts: int) -> int:
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=4).digest(), "big")
