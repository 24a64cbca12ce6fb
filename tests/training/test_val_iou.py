"""`val_iou` of a training and `evaluate --at-network-size` are one figure."""

from pathlib import Path

import pytest

from flood_seg.config.compose import compose
from flood_seg.config.schema import EvaluateConfig
from flood_seg.evaluation.result import EvaluationResult
from flood_seg.inference.engines import choose_engine
from flood_seg.networks.checkpoint import read_checkpoint
from flood_seg.verbs.evaluate import run_evaluation as evaluate
from tests.training.conftest import run_training


def at_network_size(run: Path, data: Path, *overrides: str) -> EvaluationResult:
    model = str(run / "best.ckpt")
    options = [f"datamodule.data_dir='{data}'", f"datamodule.split_file='{run}/split.txt'", *overrides]
    return evaluate(compose("evaluate", choose_engine(options, model)[0], EvaluateConfig), model, None, True)


@pytest.mark.parametrize(("precision", "batch"), [("32-true", 3), ("bf16-mixed", 1)])
def test_they_agree_exactly_whatever_precision_and_batch(shared_ponds, tmp_path, precision, batch):
    options = ["trainer.max_epochs=3", f"trainer.precision={precision}", f"datamodule.batch_size={batch + 1}"]
    summary = run_training(tmp_path, shared_ponds, "logger=none", *options, "datamodule.val_split=0.5")
    result = at_network_size(summary.run_dir, shared_ponds, f"datamodule.batch_size={batch}")
    record, provenance = result.record, read_checkpoint(summary.run_dir / "best.ckpt")[1].provenance
    assert record["confusion"] == provenance["confusion"]
    # How the errors vary between the images, for areas of maps, too.
    expected = result.rates.to_record() | {"threshold": 0.5, "temperature": 1.0, "part": "val"}
    assert provenance["image_rates"] == expected and expected["images"] == 6
    assert record["iou"] == summary.metrics["val_iou"] and 0 < record["iou"] < 1


def test_at_each_photos_own_size_the_figure_is_another(shared_ponds, finished_run):
    model = str(finished_run.run_dir / "best.ckpt")
    options = [f"datamodule.data_dir='{shared_ponds}'", f"datamodule.split_file='{finished_run.run_dir}/split.txt'"]
    config = compose("evaluate", choose_engine(options, model)[0], EvaluateConfig)
    own = evaluate(config, model, None, False).record
    count = own["images"]
    assert sum(map(sum, own["confusion"])) == count * 64 * 80
    same = at_network_size(finished_run.run_dir, shared_ponds).record
    assert sum(map(sum, same["confusion"])) == count * 64 * 64
