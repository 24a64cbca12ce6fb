"""Where models are: in the folders of training runs, and the bundled one."""

from __future__ import annotations

from pathlib import Path

from flood_seg.errors import ModelError

MODEL_FILE, CHECKPOINT_FILE = "model.onnx", "best.ckpt"
BUNDLED = "flood_mobilenet"


def run_folders(output_dir: Path) -> list[Path]:
    """Returns the folders of the runs, output_dir/{date}/{time}/, the newest first."""
    return sorted(output_dir.glob("[0-9]*-*-*/[0-9]*"), key=lambda run: (run.parent.name, run.name), reverse=True)


def newest_run_file(output_dir: Path, name: str) -> Path | None:
    """Returns the file of that name in the newest run that has one."""
    return next((run / name for run in run_folders(output_dir) if (run / name).is_file()), None)


def run_model(folder: Path, names: tuple[str, ...] = (MODEL_FILE, CHECKPOINT_FILE)) -> Path:
    """Returns the first of some files that a run's folder has: by default the exported model, else the best checkpoint.

    Raises:
        ModelError: it has none of them.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{folder}: holds no {' or '.join(names)}; give the folder of a run, or a model's file")


def bundled_model() -> Path | None:
    """Returns the pretrained model of this package, in a checkout or an installation; None where it is missing."""
    package = Path(__file__).resolve().parent.parent
    places = (root / "models" / BUNDLED / MODEL_FILE for root in (package.parent, package))
    return next((place for place in places if place.is_file()), None)


def default_model(output_dir: Path) -> tuple[Path, str]:
    """Returns the model that is used where none is given, and its origin: `newest run` or `bundled`.

    Raises:
        ModelError: there is neither.
    """
    if newest := newest_run_file(output_dir, MODEL_FILE):
        return newest, "newest run"
    if bundled := bundled_model():
        return bundled, "bundled"
    raise ModelError(f"{output_dir}: no run with a {MODEL_FILE}; train one with 'flood-seg train' or give --onnx FILE")


def choose_model(model: str | None, output_dir: str) -> tuple[str, str]:
    """Returns the model that was given, otherwise the default one, and its origin; raises as `default_model`."""
    if model is not None:
        return model, "as given"
    path, origin = default_model(Path(output_dir))
    return str(path), origin
