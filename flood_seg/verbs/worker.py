"""`flood-seg worker`: a process that runs the jobs of a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.schema.service import ServeConfig
from flood_seg.files import check_writable
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.inference.engines import choose_engine
from flood_seg.untrusted import restrict

if TYPE_CHECKING:
    from collections.abc import Sequence


def worker(overrides: Sequence[str] = (), *, model: str | None = None) -> None:
    """Run jobs until it is stopped.

    Raises:
        FloodSegError: of any kind, before the first job.
    """
    config = compose("serve", choose_engine(overrides, model)[0], ServeConfig)
    import_rasterio()  # before any job, where it is not installed

    from flood_seg.service.jobs.model_words import model_words
    from flood_seg.service.jobs.queue import JobQueue
    from flood_seg.service.jobs.run import RunOptions
    from flood_seg.service.jobs.store import JobStore
    from flood_seg.service.jobs.upkeep import Upkeep
    from flood_seg.service.jobs.worker import Worker
    from flood_seg.service.monitoring.logs import logging_as

    jobs, work_dir = config.serve.jobs, Path(config.serve.work_dir).absolute()
    check_writable(work_dir)
    options = RunOptions.of(config.serve, model_words(config, overrides, model))
    store, queue = JobStore(work_dir), JobQueue(jobs.queue, work_dir)
    restrict()
    with logging_as(config.serve.log):
        Worker(store, queue, Upkeep(store, queue, jobs), options).run()
