"""What all requests of a service share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from flood_seg.service.jobs.jobs import Jobs
from flood_seg.service.lane import Lane
from flood_seg.service.monitoring.metrics import Metrics
from flood_seg.service.monitoring.scrape import Scrape
from flood_seg.service.security.access import Access
from flood_seg.service.tiles.desk import Desk

if TYPE_CHECKING:
    from flood_seg.config.schema.service import ServeConfig
    from flood_seg.service.models import Models


@dataclass
class Service:
    """A running service.

    Attributes:
        config: of the service.
        models: that are loaded.
        metrics: of this process.
        ready: whether requests are accepted; False while it stops.
        access: decides who a caller is.
        desk: reads rasters and vectors of jobs.
        worker_words: words after `flood-seg worker` of the workers that it starts; None: it starts none.
        jobs: scenes that wait, run and are done.
        lane: that images of requests pass.
        scrape: returns the metrics.
    """

    config: ServeConfig
    models: Models
    metrics: Metrics = field(default_factory=Metrics)
    ready: bool = True
    access: Access = field(init=False)
    worker_words: tuple[str, ...] | None = None
    desk: Desk = field(default_factory=Desk)
    jobs: Jobs = field(init=False)
    lane: Lane = field(init=False)
    scrape: Scrape = field(init=False)

    def __post_init__(self) -> None:
        work_dir = Path(self.config.serve.work_dir)
        self.access = Access.of(self.config.serve)
        self.jobs = Jobs(self.config.serve, self.worker_words)
        limits = self.config.serve.limits
        streams = limits.concurrency or self.models.streams
        self.lane = Lane(streams, limits.waiting, limits.timeout, self.metrics.waiting)
        self.scrape = Scrape(self.metrics, self.models, self.jobs.store, work_dir)


def _of_request(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(_of_request)]
