"""The rasters of a mapped scene that are shown as layers: their files, titles, colours and place."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.errors import ModelError
from flood_seg.imaging.gdal import open_raster, read_georeference
from flood_seg.products.layers import Legend
from flood_seg.products.page.frame import Frame
from flood_seg.products.stac_item import RECORD
from flood_seg.service.jobs.records import SCENE
from flood_seg.service.jobs.steps import local_input
from flood_seg.service.problems import Problem
from flood_seg.spec import ModelSpec

if TYPE_CHECKING:
    from flood_seg.service.jobs.records import Job

PROBABILITY, BEFORE = "probability", "before"
PICTURES = (SCENE, BEFORE)  # layers that are pictures of scenes
TITLES = {
    SCENE: "Scene",
    BEFORE: "Earlier image",
    PROBABILITY: "Probability",
    "mask": "Result",
    "change": "Change since an earlier image",
    "flood": "Flood and permanent water",
    "truth": "Truth",
    "differences": "Differences from the truth",
}
CLASSES = ("mask", "change", "flood", "truth", "differences")  # layers whose values are classes
TILES = Path("tiles")  # in the folder of the job: pictures of its scenes; see `scene_picture`
_RECORDS = 256  # of jobs that are kept in memory


@dataclass(frozen=True, eq=False)  # one of a job is there once
class JobRasters:
    """The rasters of a job that has mapped its scene.

    Attributes:
        folder: of the job.
        results: the folder that `flood-seg map` has written.
        source: the file of the scene; None: it is not here.
        spec: of the model.
        record: the STAC item of the scene.
        picture: the file of the scene's picture, which is made when it is asked for.
        before: those of the earlier image that the scene is compared with; None: there is none.
    """

    folder: Path
    results: Path
    source: Path | None
    spec: ModelSpec
    record: dict[str, Any]
    picture: Path
    before: JobRasters | None = None

    @classmethod
    def of(cls, job: Job) -> JobRasters:
        """Returns the rasters of a job.

        Raises:
            Problem: 409, it has not mapped its scene yet, or never will.
        """
        try:
            changed = (job.results / RECORD).stat().st_mtime_ns
        except OSError:
            raise _unmapped(job) from None
        sources = [local_input(job, name) if name in job.request.inputs else None for name in PICTURES]
        return _of_job(job.folder, job.results, *sources, changed)

    @cached_property
    def frame(self) -> Frame:
        """Where the scene lies; its `ground` is None where it is not georeferenced."""
        return Frame(self)

    @cached_property
    def georeference(self) -> dict[str, Any]:
        """Of the scene: entries of rasterio's profile."""
        return read_georeference(self.results / "mask.tif", self.height, self.width)

    @property
    def height(self) -> int:
        """Of the scene, in pixels."""
        return self._size[0]

    @property
    def width(self) -> int:
        """Of the scene, in pixels."""
        return self._size[1]

    @cached_property
    def _size(self) -> tuple[int, int]:
        with open_raster(self.results / "mask.tif") as dataset:
            height, width = dataset.shape
        return height, width

    def names(self) -> list[str]:
        """Returns the names of the layers that the job has."""
        there = {SCENE: self.source, BEFORE: self.before and self.before.source and self._is_comparable(self.before)}
        return [name for name in TITLES if (there[name] if name in there else self.path(name).is_file())]

    def shown(self, layer: str) -> JobRasters:
        """Returns those whose scene a layer that is a picture shows."""
        return self.before if layer == BEFORE and self.before else self

    def path(self, layer: str) -> Path:
        """Returns the file of a layer, which need not exist."""
        return self.shown(layer).picture if layer in PICTURES else self.results / f"{layer}.tif"

    def _is_comparable(self, other: JobRasters) -> bool:
        """Whether a tile of this scene is at the same place in another one."""
        return bool(self.frame.ground and other.frame.ground) or other._size == self._size

    def check(self, layer: str) -> None:
        """Checks that the job has a layer.

        Raises:
            Problem: 404, it does not.
        """
        if layer not in (known := self.names()):
            raise Problem(HTTPStatus.NOT_FOUND, f"layer {layer[:40]}: the job has none; it has {', '.join(known)}")

    def title(self, layer: str) -> str:
        """Returns what readers call a layer."""
        if layer == PROBABILITY and self.spec.task == "binary":
            return f"Probability of {self.spec.class_names[1]}"
        return TITLES[layer]

    def legend(self, layer: str) -> Legend:
        """Returns the classes of a layer of classes; raises ImageError where its file is damaged."""
        if layer == "mask":
            return Legend.of(self.spec)
        path = self.path(layer)
        return _legend(path, path.stat().st_mtime_ns)

    @cached_property
    def probability_scale(self) -> float:
        """The probability of a step of probability.tif; 1 where it has real numbers."""
        with open_raster(self.path(PROBABILITY)) as dataset:
            return float(dataset.scales[0])

    def bands(self) -> list[str]:
        """Returns the classes that the bands of probability.tif are of."""
        names = self.spec.class_names
        return list(names[1:] if self.spec.task == "binary" else names)

    def color(self, band: int) -> tuple[int, int, int]:
        """Returns the colour of the class that a band of probability.tif, from 1, is of."""
        return Legend.of(self.spec).colors[band if self.spec.task == "binary" else band - 1]

    @property
    def threshold(self) -> float | None:
        """Above which a pixel is foreground in the result; None: there are several classes."""
        found = self.record["properties"].get("flood_seg:threshold")
        return None if found is None or self.spec.task != "binary" else float(found)


@lru_cache(_RECORDS)
def _of_job(folder: Path, results: Path, source: str | None, before: str | None, changed: int) -> JobRasters:
    """Reads the records of a finished scene and of the earlier one; `changed` is when the former was written."""
    scene = _read(folder, results, source, SCENE)
    if before is None or not (results / BEFORE / RECORD).is_file():
        return scene
    return replace(scene, before=_read(folder, results / BEFORE, before, BEFORE))


def _read(folder: Path, results: Path, source: str | None, layer: str) -> JobRasters:
    try:
        record = json.loads((results / RECORD).read_text("utf-8"))
        spec = ModelSpec.from_json(record["properties"]["flood_seg:model_spec"])
    except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
        raise Problem(HTTPStatus.NOT_FOUND, "the result of the job is damaged; run it again") from error
    path = folder / source if source else None
    there = path if path and path.is_file() else None
    return JobRasters(folder, results, there, spec, record, folder / TILES / f"{layer}.tif")


@lru_cache(_RECORDS)
def _legend(path: Path, changed: int) -> Legend:
    """Reads the legend of a raster; `changed` is when it was written."""
    with open_raster(path) as dataset:
        return Legend.read(dataset)


def _unmapped(job: Job) -> Problem:
    what = f"the job has not mapped its scene yet, it is {job.state.status}; wait for /jobs/{job.id}/events"
    if job.state.is_finished:
        what = f"the job is {job.state.status} and has no map; GET /jobs/{job.id} says why"
    return Problem(HTTPStatus.CONFLICT, what)


def damaged(layer: str) -> Problem:
    """Returns the problem that a file of the results cannot be read, which is no fault of the request."""
    return Problem(HTTPStatus.NOT_FOUND, f"layer {layer}: its file is damaged or was removed; run the job again")
