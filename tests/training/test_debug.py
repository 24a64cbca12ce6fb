from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.training.history import read_history
from tests.training.conftest import run_training

TINY = ["model=tiny_unet", "optimizer.lr=5e-3"]


def test_fast_runs_one_epoch_and_tracks_nothing(shared_ponds, tmp_path):
    summary = run_training(tmp_path, shared_ponds, *TINY, "+debug=fast", "trainer.max_epochs=1")
    assert summary.epochs == 1 and not summary.tracking and summary.onnx is not None


def test_overfit_learns_one_batch_by_heart(shared_ponds, tmp_path):
    options = [*TINY, "optimizer.lr=2e-2", "+debug=overfit", "datamodule.batch_size=2", "trainer.max_epochs=40"]
    summary = run_training(tmp_path, shared_ponds, *options)
    rows = read_history(summary.run_dir / "history.csv")
    assert rows[-1]["train_iou"] > 0.9 and rows[-1]["val_iou"] > 0.85
    lines = (summary.run_dir / "split.txt").read_text().splitlines()
    assert len(lines) == 4, "two samples, trained and validated on"


def test_profile_shows_where_the_time_goes(shared_ponds, tmp_path, capsys):
    summary = run_training(
        tmp_path, shared_ponds, *TINY, "+debug=profile", "trainer.max_epochs=1", "trainer.profiler=simple"
    )
    assert "run_training_batch" in capsys.readouterr().out
    assert list(summary.run_dir.glob("*profile*.txt"))


def test_an_image_size_is_both_sides(capsys):
    from flood_seg.cli.main import main

    main(["train", "--image-size", "96", "--cfg", "job"])
    shown = capsys.readouterr().out
    assert "height: 96" in shown and "width: 96" in shown
    assert compose("train", ["+debug=overfit"], TrainConfig).trainer.overfit_batches == 1
