"""The folder that an attempt of a job works in: what earlier ones have finished is taken over, nothing is shared.

The process of an earlier attempt may still run, on a machine that has lost the network for example. So an attempt never
writes to a file that another one may write to: it takes over those that are complete, which nobody changes any more.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import OutputError
from flood_seg.products.scene_map import BLOCKS
from flood_seg.products.stac_item import RECORD
from flood_seg.service.jobs.steps import own_place
from flood_seg.service.jobs.walk import files_below

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flood_seg.service.jobs.records import Job

STEPS = "steps"  # folder of a file with the figures of each finished step
_OF_BLOCKS = (".npz", ".json")  # all else in the folder of blocks is written bit by bit


def enter(job: Job) -> None:
    """Makes the folder of this attempt, with what is finished.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        (job.work / STEPS).mkdir(parents=True, exist_ok=True)
        _link_inputs(job)
        earlier = sorted((one for one in job.work.parent.iterdir() if one != job.work), key=lambda one: int(one.name))
        for folder in earlier[-1:]:
            _take_over(folder, job.work)
        for folder in earlier:
            shutil.rmtree(folder, ignore_errors=True)
        if job.results.is_dir():  # the attempt that had moved them there ended before it could say so
            shutil.rmtree(job.work / "results", ignore_errors=True)
            job.results.rename(job.work / "results")
    except OSError as error:
        raise OutputError(f"{job.work}: cannot be written ({error.strerror}); see serve.work_dir") from error


def publish(job: Job) -> None:
    """Moves the results of an attempt to their place, whole; raises OSError."""
    if job.results.is_dir():  # of a process that has lost this job, and did not know it yet
        job.results.rename(job.work / "replaced")
    made = job.work / "results"
    shutil.rmtree(made / BLOCKS, ignore_errors=True)  # of a scene some blocks of which have failed
    made.rename(job.results)


def leave(job: Job) -> None:
    """Removes what attempts have left beside the results."""
    shutil.rmtree(job.work.parent, ignore_errors=True)


def _link_inputs(job: Job) -> None:
    """Links to the inputs in the data folder: results hold the names of their inputs, and are for all callers."""
    for name, text in job.request.inputs.items():
        if Path(text).is_absolute():
            with suppress(OSError):  # linked by an earlier attempt, or a system without links
                (job.folder / own_place(job, name)).symlink_to(text)


def _take_over(source: Path, target: Path) -> None:
    for file in _finished(source):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            continue
        try:
            os.link(file, place)
        except FileNotFoundError:  # removed by a process that still runs
            continue
        except OSError:  # a file system without links
            shutil.move(file, place)


def _finished(folder: Path) -> Iterable[Path]:
    """Yields the files that are complete; records first, since all that they describe is complete then."""
    files = [file for file in files_below(folder) if file.is_file() and not file.name.startswith(".")]
    files = [file for file in files if BLOCKS not in file.parts or file.suffix in _OF_BLOCKS]
    return sorted(files, key=lambda file: (file.parent.name != STEPS, file.name != RECORD))
