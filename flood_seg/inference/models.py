"""Which model is taken where none was named: the newest run's, else the one in the box."""

from __future__ import annotations

from pathlib import Path

from flood_seg.errors import ModelError

MODEL_FILE, CHECKPOINT_FILE = "model.onnx", "best.ckpt"


def newest_run_file(output_dir: Path, name: str) -> Path | None:
    """Returns the file of that name in the newest run that has one; runs lie in output_dir/{date}/{time}/."""
    runs = sorted(output_dir.glob("[0-9]*-*-*/[0-9]*"), key=lambda run: (run.parent.name, run.name), reverse=True)
    return next((run / name for run in runs if (run / name).is_file()), None)


def run_model(folder: Path, engine: str | None = None) -> Path:
    """Returns the model of a run's folder: what was exported, else the best checkpoint; for PyTorch that alone.

    Raises:
        ModelError: there is none.
    """
    names = {"torch": (CHECKPOINT_FILE,), None: (MODEL_FILE, CHECKPOINT_FILE)}.get(engine, (MODEL_FILE,))
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{folder}: holds no {' or '.join(names)}; give the folder of a run, or a model's file")


def boxed_model() -> Path | None:
    """Returns the model that flood-seg brings along, in a checkout or in an installed package."""
    package = Path(__file__).resolve().parent.parent
    places = (root / "models" / "flood_mobilenet" / MODEL_FILE for root in (package.parent, package))
    return next((place for place in places if place.is_file()), None)


def default_model(output_dir: Path) -> tuple[Path, str]:
    """Returns the model to take and what it is, `newest run` or `in the box`.

    Raises:
        ModelError: there is none.
    """
    if newest := newest_run_file(output_dir, MODEL_FILE):
        return newest, "newest run"
    if boxed := boxed_model():
        return boxed, "in the box"
    raise ModelError(f"{output_dir}: no run with a {MODEL_FILE}; train one with 'flood-seg train' or give --onnx FILE")
