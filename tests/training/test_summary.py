from dataclasses import replace
from pathlib import Path

import pytest

from flood_seg.training.summary import Summary, print_summary


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Summary:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "outputs" / "2026-11-20" / "22-34-25"
    run.mkdir(parents=True)
    (run / "best.ckpt").touch()
    return Summary(
        run_dir=run,
        epochs=10,
        best_epoch=7,
        metrics={"val_loss": 0.25, "val_iou": 0.71239, "val_f1": 0.8, "val_accuracy": 0.9, "val_image_iou": 0.69},
        best_checkpoint=run / "best.ckpt",
        onnx=run / "model.onnx",
        plots=Path("plots/ponds"),
        seconds=185.4,
        tracking="MLflow sqlite:///mlflow.db, experiment flood-seg, run ponds",
    )


def test_it_says_how_good_where_and_what_to_type_next(summary, capsys):
    print_summary(summary)
    out = capsys.readouterr().out
    title = "Best epoch 7 (10 epochs, counted from 0), validation part, 3 min 5 s in total"
    assert title in " ".join(out.split())  # rich may wrap it
    for value in ("0.7124", "0.8000", "0.9000", "0.2500", "0.6900"):
        assert value in out
    assert "checkpoint  outputs/2026-11-20/22-34-25/best.ckpt\n" in out
    assert "ONNX        outputs/2026-11-20/22-34-25/model.onnx\n" in out
    assert "plots       plots/ponds\n" in out and "run ponds\n" in out
    assert "flood-seg infer --image photo.jpg" in out.splitlines()[-1]


def test_a_place_outside_the_working_directory_is_named_in_full(summary, capsys, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    print_summary(summary)
    assert f"checkpoint  {summary.best_checkpoint}\n" in capsys.readouterr().out


def test_it_names_nothing_that_is_not_there(summary, capsys):
    print_summary(replace(summary, onnx=None, tracking="", best_checkpoint=Path("none.ckpt")))
    out = capsys.readouterr().out
    assert "ONNX" not in out and "tracking" not in out and "checkpoint" not in out


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 min 0 s"), (3599.4, "59 min 59 s"), (3599.6, "1 h 0 min"), (8070, "2 h 14 min")]
)
def test_hours_are_told_as_hours(summary, capsys, seconds, words):
    print_summary(replace(summary, seconds=seconds))
    assert f", {words} in total" in " ".join(capsys.readouterr().out.split())
