"""Times an epoch, training and validation, of `flood-seg train` at 256 px: epoch.py DATA MODEL plain|ours.

`ours` times the second epoch; `plain` the first one, which takes a minute, so that the warm-up is negligible.
"""

import json
import sys
import tempfile
from pathlib import Path

from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.training.history import read_history
from flood_seg.verbs.train_run import run_training as train

data, model, ours = sys.argv[1], sys.argv[2], sys.argv[3] == "ours"
source = [f"datamodule.data_dir={data}"] if Path(data).is_dir() else ["datamodule=sample"]
plain = [
    "trainer.precision=32-true",
    "trainer.channels_last=false",
    "trainer.keep_freed_memory=false",
    "datamodule.cache=none",
]
with tempfile.TemporaryDirectory() as folder:
    overrides = [
        *source,
        f"model={model}",
        "model.encoder_weights=null",
        "datamodule.height=256",
        f"trainer.max_epochs={2 if ours else 1}",
        "logger=none",
        f"output_dir={folder}/outputs",
        f"plots_dir={folder}/plots",
        *([] if ours else plain),
    ]
    summary = train(compose("train", overrides, TrainConfig), overrides)
    assert summary is not None
    print(json.dumps({"seconds": read_history(summary.run_dir / "history.csv")[-1]["seconds"]}))
