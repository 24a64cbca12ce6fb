"""What Prometheus reads of a service."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

PREFIX = "flood_seg"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
JOB_SECONDS = (1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
COUNTS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of a process, in a registry of its own; labels have few values, which bounds the number of series.

    `monitoring.requests` observes requests, `service.predict` predictions; the others are read when Prometheus asks, by
    `monitoring.scrape`.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry, namespace=PREFIX)
        gauge = partial(Gauge, registry=self.registry, namespace=PREFIX)
        histogram = partial(Histogram, registry=self.registry, namespace=PREFIX)
        timer = partial(histogram, buckets=SECONDS)

        self.requests = timer("request_seconds", "Duration of requests", ["route", "method", "status"])
        self.in_flight = gauge("requests_in_flight", "Requests that are being answered")

        self.waiting = gauge("predictions_waiting", "Images that wait for the model")
        self.model_seconds = timer("model_seconds", "Duration of the model for an image", ["model"])
        self.images = counter("images", "Images that were segmented", ["model"])
        self.pixels = counter("pixels", "Pixels of the images that were segmented", ["model"])
        self.batch = histogram("batch_size", "Images per request", buckets=COUNTS)
        self.shifted = counter(
            "shifted_images", "Images whose values differ from those of the training data", ["model"]
        )
        self.class_share = histogram(
            "class_share", "Share of an image that is of a class", ["model", "class_name"], buckets=SHARES
        )

        self.jobs = gauge("jobs", "Jobs in work_dir by status; accepted ones wait", ["status"])
        self.oldest_waiting = gauge("jobs_oldest_waiting_seconds", "How long the oldest waiting job has waited")
        self.job_seconds = histogram(
            "job_seconds", "Duration of the jobs that ended, without waiting", ["status"], buckets=JOB_SECONDS
        )

        self.info = gauge("info", "The release that runs; always 1", ["version"])
        self.model_info = gauge(
            "model_info", "A model that is served; always 1", ["model", "engine", "architecture", "version"]
        )
        self.workers_memory = gauge("workers_resident_memory_bytes", "Resident memory of the processes that run jobs")
        self.disk_free = gauge("disk_free_bytes", "Free space where work_dir is")
        self.disk_size = gauge("disk_size_bytes", "Size of the file system where work_dir is")
