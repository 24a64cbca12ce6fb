"""The folder of a run, outputs/{date}/{time}/: its files, and how an earlier run is found."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from flood_seg.config.saved import load_overrides
from flood_seg.errors import ConfigError, OutputError
from flood_seg.files import atomic_path
from flood_seg.inference.models import CHECKPOINT_FILE, MODEL_FILE, run_folders

LAST = "last.ckpt"


class Run:
    """The folder of a run, and the paths of its files.

    Attributes:
        folder: holds all of them.
        name: date and time, as `2026-11-20_22-34-25`.
        hydra: the folder of the resolved configuration and the overrides.
        split: the split file.
        spec: the ModelSpec as JSON.
        best: the best checkpoint.
        last: the latest checkpoint.
        onnx: the exported model.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, f"{folder.parent.name}_{folder.name}"
        self.hydra = folder / ".hydra"
        self.split, self.spec = folder / "split.txt", folder / "spec.json"
        self.best, self.last, self.onnx = folder / CHECKPOINT_FILE, folder / LAST, folder / MODEL_FILE

    def discard_empty(self) -> None:
        """Removes the folder, that of its date and that of all runs, if they are empty."""
        for folder in (self.folder, *self.folder.parents[:2]):
            if folder.is_dir() and not any(folder.iterdir()) and folder.resolve() != Path.cwd():
                folder.rmdir()


def new_folder(output_dir: Path) -> Path:
    """Creates a folder named by date and time; a second one within the same second gets a suffix."""
    now = datetime.now()
    folder = output_dir / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}"
    attempt, candidate = 0, folder
    while True:
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            attempt += 1
            candidate = folder.with_name(f"{folder.name}-{attempt}")
        except OSError as error:
            raise OutputError(
                f"{candidate}: cannot be created ({error.strerror or error}); set output_dir to another folder"
            ) from error
        else:
            return candidate


def link_latest(run: Run, output_dir: Path) -> None:
    """Links `outputs/latest` to the run."""
    with atomic_path(output_dir / "latest") as temporary:
        target = os.path.relpath(run.folder.resolve(), output_dir.resolve())  # relative, so that outputs can be moved
        temporary.symlink_to(target, target_is_directory=True)


def find_run(resume: str | None, output_dir: Path, name: str | None = None) -> Run | None:
    """Finds the run to resume.

    Args:
        resume: `auto` for the newest run, the folder of a run, or a checkpoint in one; None: no run is resumed.
        output_dir: folder of all runs.
        name: `run_name` of the run; None: `auto` takes the newest run of any name.

    Returns:
        the run; None if there is none to resume, for `auto` if no run has a checkpoint.

    Raises:
        ConfigError: the path is not a run with a checkpoint.
    """
    if not resume:
        return None
    if resume == "auto" and name:
        runs = (Run(folder.resolve()) for folder in run_folders(output_dir))
        return next((run for run in runs if run.last.is_file() and _run_name(run) == name), None)
    if resume == "auto":
        latest = output_dir / "latest"
        return Run(latest.resolve()) if (latest / LAST).is_file() else None
    path = Path(resume)
    folder = path.parent if path.is_file() else path
    if not (folder / LAST).is_file() or not (folder / ".hydra").is_dir():
        raise ConfigError(f"resume={resume}: no run with {LAST} and .hydra/ there; give the folder of a run, or auto")
    return Run(folder.resolve())


def resumed_overrides(run: Run, overrides: list[str]) -> list[str]:
    """Returns the overrides of the run followed by the new ones, which take precedence; its split is reused."""
    saved = load_overrides(run.hydra)
    # Hydra rejects a repeated `+key=` or `~key`, and users repeat the command with resume=auto added.
    repeated = {override for override in saved if override.startswith(("+", "~"))}
    new = [override for override in overrides if not override.startswith("resume=") and override not in repeated]
    return [*saved, *new, f"datamodule.split_file='{run.split}'"]


def _run_name(run: Run) -> str | None:
    """Returns the `run_name` of the configuration of a run."""
    import yaml

    try:
        saved = yaml.safe_load((run.hydra / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return None
    return saved.get("run_name") if isinstance(saved, dict) else None
