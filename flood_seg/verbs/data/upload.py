"""`flood-seg data upload`: upload a data set to an experiment tracker."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import counted, say
from flood_seg.errors import DataError, TrackingError, UsageError
from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike

NAME = r"[A-Za-z0-9][\w.-]*"  # what all services take


def upload(overrides: Sequence[str] = (), *, data: PathLike | None = None, name: str | None = None) -> None:
    """Upload the folder of a data set as an artifact, after its samples were found.

    Raises:
        DataError: the data set cannot be used, or consists of several folders.
        TrackingError: the tracker does not respond, or refuses the files.
        UsageError: no name, or no tracker that stores files.
    """
    if name is None or not re.fullmatch(NAME, name):
        raise UsageError("--name is missing, or not made of letters, digits, '_', '-' and '.': --name flood-v1")
    config = compose_data(overrides, data)

    from flood_seg.data.layout import find_samples
    from flood_seg.data.prepare import prepare_data
    from flood_seg.tracking.composite import open_trackers
    from flood_seg.tracking.contract import RunInfo, brief, git_commit
    from flood_seg.training.run import Run, new_folder

    prepare_data(config.datamodule)
    pairs, faults = find_samples(config.datamodule)
    if len(config.datamodule.folders) > 1:
        raise DataError(f"{config.datamodule.place}: upload one folder at a time")
    (folder,) = config.datamodule.folders
    params = {"data": str(folder), "samples": len(pairs), "unpaired_files": len(faults)}
    place = new_folder(Path(config.output_dir))
    try:
        info = RunInfo(f"dataset {name}", place, params, git_commit(), resumable=False)
        trackers = open_trackers(config.logger, info)
        chosen = [tracker for tracker in trackers.trackers if tracker.stores_files]
        if not chosen:
            trackers.close(failed=True)
            shutil.rmtree(place)
            raise UsageError(f"logger={'+'.join(config.logger) or 'none'}: stores no files; give logger=mlflow, wandb, "
                             "clearml or comet")  # fmt: skip
        for tracker in chosen:
            try:
                tracker.log_dataset(name, folder)
            except Exception as error:  # a service may raise anything
                trackers.close(failed=True)
                raise TrackingError(f"{tracker.name}: {folder} was not uploaded ({brief(error)}); try again") from error
        trackers.close()
    finally:
        Run(place).discard_empty()
    say(f"{folder}: {counted(len(pairs), 'sample')} uploaded as {name}; {trackers.description}")
