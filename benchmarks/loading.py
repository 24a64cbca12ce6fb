"""Times loading of augmented samples at 512 px, with and without a cache: loading.py DATA."""

import json
import sys
import time
from pathlib import Path

from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.data.augmentation.pipeline import build_augmentation
from flood_seg.data.datamodule import FloodDataModule, load_store
from flood_seg.data.layout import choose_split
from flood_seg.verbs.train_parts import make_spec


def seconds_per_sample(data: str, cache: str) -> float:
    """Returns the mean over the samples of the second epoch."""
    source = [f"datamodule.data_dir={data}"] if Path(data).is_dir() else ["datamodule=sample"]
    config = compose("train", [*source, f"datamodule.cache={cache}", "datamodule.height=512"], TrainConfig)
    store = load_store(config.datamodule, config.task)
    split = choose_split(config.datamodule, store.pairs, config.seed)
    augmentation = build_augmentation(config.augmentation)
    module = FloodDataModule(config.datamodule, make_spec(config), store, split, augmentation, config.seed)
    loader = module.train_dataloader()
    for _ in range(2):
        started = time.perf_counter()
        for _batch in loader:
            pass
    return (time.perf_counter() - started) / len(module.train_set)


print(
    json.dumps(
        {cache: seconds_per_sample(sys.argv[1], name) for cache, name in (("decoding", "none"), ("cached", "ram"))}
    )
)
