import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from flood_seg.training.checkpoint import BestCheckpoint
from flood_seg.training.history import COLUMNS, METRICS, History, read_history, write_history
from flood_seg.training.optimization import warmup_cosine

SCHEDULERS = {
    "step": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5),
    "warmup_cosine": lambda optimizer: warmup_cosine(optimizer, 2, 8),
    "plateau": lambda optimizer: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.5, patience=1),
}


class Model(pl.LightningModule):
    """Logs all metrics where the real module does: loss in the steps, the others at the ends of the epoch."""

    def __init__(self, scheduler: str) -> None:
        super().__init__()
        self.layer, self.scheduler, self.used = torch.nn.Linear(1, 1), scheduler, list[float]()

    def training_step(self, batch, _):
        loss = (self.layer(batch[0]) ** 2).mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", (self.layer(batch[0]) ** 2).mean())

    def on_train_epoch_start(self):
        self.used.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self):
        self.log_dict({f"train_{name}": 0.25 for name in METRICS[1:]})

    def on_validation_epoch_end(self):
        self.log_dict({f"val_{name}": 0.5 for name in METRICS[1:]})

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.4)
        scheduler = SCHEDULERS[self.scheduler](optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_iou"}}


def fit(folder: Path, epochs: int, scheduler: str = "step", checkpoint: Path | None = None) -> tuple[History, Model]:
    history, model = History(folder), Model(scheduler)
    batches = DataLoader(TensorDataset(torch.ones(2, 1)), batch_size=1)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[history, BestCheckpoint(folder)],
        num_sanity_val_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, batches, batches, ckpt_path=checkpoint, weights_only=True)
    return history, model


def test_each_epoch_has_one_whole_row_and_the_sanity_check_has_none(tmp_path):
    fit(tmp_path, 3)
    rows = read_history(tmp_path / "history.csv")
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert all(set(row) == set(COLUMNS) for row in rows)
    assert rows[0]["train_image_iou"] == 0.25 and rows[0]["val_f1"] == 0.5
    assert all(row["seconds"] > 0 for row in rows)


def test_the_losses_are_those_of_their_epoch(tmp_path):
    fit(tmp_path, 2)
    rows = read_history(tmp_path / "history.csv")
    assert rows[1]["train_loss"] < rows[0]["train_loss"] and rows[0]["val_loss"] < rows[0]["train_loss"]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_learning_rate_is_the_one_that_the_epoch_was_trained_with(tmp_path, scheduler):
    history, model = fit(tmp_path, 5, scheduler)
    assert [row["lr"] for row in history.rows] == model.used and len(set(model.used)) > 1


def test_the_last_checkpoint_holds_the_row_of_its_epoch_and_loads_without_running_code(tmp_path):
    fit(tmp_path, 2)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    (state,) = (state for state in checkpoint["callbacks"].values() if "rows" in state)
    assert checkpoint["epoch"] == 1 and [row["epoch"] for row in state["rows"]] == [0, 1]
    assert set(state["rows"][-1]) == set(COLUMNS)


def test_a_resumed_run_has_one_row_an_epoch(tmp_path):
    fit(tmp_path, 2)
    earlier = torch.load(tmp_path / "last.ckpt", weights_only=True)
    fit(tmp_path, 4)  # what a killed run had written after the checkpoint
    torch.save(earlier, tmp_path / "last.ckpt")
    fit(tmp_path, 5, checkpoint=tmp_path / "last.ckpt")
    assert [row["epoch"] for row in read_history(tmp_path / "history.csv")] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_resumed_run_has_the_learning_rates_of_an_undisturbed_one(tmp_path, scheduler, stop):
    whole, _ = fit(tmp_path / "whole", 6, scheduler)
    fit(tmp_path / "broken", stop, scheduler)
    resumed, _ = fit(tmp_path / "broken", 6, scheduler, tmp_path / "broken" / "last.ckpt")
    assert [row["lr"] for row in resumed.rows] == [row["lr"] for row in whole.rows]


def test_what_is_written_is_read_again(tmp_path):
    rows = [{"epoch": 0, "val_loss": 0.1 + 0.2}, {"epoch": 1, "val_loss": math.nan}]
    write_history(tmp_path / "run" / "history.csv", rows)
    first, second = read_history(tmp_path / "run" / "history.csv")
    assert first == rows[0] and second["epoch"] == 1 and math.isnan(second["val_loss"])
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["history.csv"]
