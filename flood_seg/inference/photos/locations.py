"""Where the photos of a run were taken: photos.geojson and photos.kml."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import OutputError
from flood_seg.files import write_json, write_text
from flood_seg.inference.photos.kml import to_kml
from flood_seg.inference.photos.photo import Photo, relative
from flood_seg.pipeline import pipeline
from flood_seg.resources import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from flood_seg.inference.files import Job
    from flood_seg.inference.segment import ImageState

GEOJSON, KML = "photos.geojson", "photos.kml"
_WITHOUT = "without_position"  # foreign member of the GeoJSON: the photos that are no points
# What tells a file of flood-seg from another one of that name.
_MARKS = {GEOJSON: f'"{_WITHOUT}"', KML: "<Document>\n<name>photos</name>", "photos.html": "– photos</title>"}


def masks_folder(jobs: Sequence[Job]) -> Path:
    """Returns the folder of all masks, to which the files on their places are written."""
    return Path(os.path.commonpath([job.mask.parent for job in jobs]))


def remove_locations(folder: Path, formats: Sequence[str]) -> None:
    """Removes the files of an earlier run but those of `formats`; files of other programs stay."""
    for name, mark in _MARKS.items():
        file = folder / name
        if file.suffix[1:] not in formats and file.is_file() and mark.encode() in file.read_bytes():
            file.unlink()


class Locations:
    """Collects the photos of a run and writes where they were taken, if at least one has a position.

    As a context manager it writes the GeoJSON when the work is stopped by an error or Ctrl-C, so that a run with
    skip_existing=true finds the photos that are done.

    with Locations(jobs, images, recall) as locations:
        ...  # images pass all stages
    locations.write(("geojson", "kml"))
    """

    def __init__(self, jobs: list[Job], images: list[ImageState], recall: Callable[[Job], ImageState]) -> None:
        """Takes the images; the files are written to the folder of all masks.

        Args:
            jobs: all images.
            images: those that are segmented in this run.
            recall: returns one of the others, whose mask is there already.
        """
        self.folder = masks_folder(jobs)
        self._jobs, self._images, self._recall = jobs, images, recall
        self._earlier = self._read_earlier()

    def __enter__(self) -> Locations:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            passed = [image for image in self._images if image.error or image.finish_seconds is not None]
            with suppress(OutputError):
                self._write_geojson([*self._earlier.values(), *(Photo.of(image, self.folder) for image in passed)])

    def photos(self) -> list[Photo]:
        """Returns all photos, in order: of this run, of the GeoJSON of an earlier one, or from their masks."""
        new = {image.job.mask: image for image in self._images}
        lost = [job for job in self._jobs if job.mask not in new and self._key(job) not in self._earlier]
        threads = max(1, cores() // 2)
        new |= {image.job.mask: image for image in pipeline(lost, ((self._recall, threads),))}
        return [
            Photo.of(new[job.mask], self.folder) if job.mask in new else self._earlier[self._key(job)]
            for job in self._jobs
        ]

    def write(self, formats: Sequence[str]) -> list[Photo]:
        """Writes `geojson` and `kml` where they are among the formats and a photo has a position.

        Returns:
            all photos; empty if none has a position.

        Raises:
            OutputError: a file cannot be written.
        """
        photos = self.photos()
        if all(photo.coordinates is None for photo in photos):
            return []
        if "geojson" in formats:
            self._write_geojson(photos)
        if "kml" in formats:
            write_text(self.folder / KML, to_kml(photos))
        return photos

    def _write_geojson(self, photos: Sequence[Photo]) -> None:
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": photo.coordinates},
                "properties": photo.properties,
            }
            for photo in photos
            if photo.coordinates
        ]
        others = [photo.properties for photo in photos if not photo.coordinates]
        if features:
            write_json(self.folder / GEOJSON, {"type": "FeatureCollection", "features": features, _WITHOUT: others})

    def _read_earlier(self) -> dict[tuple[str, str], Photo]:
        """Returns the photos of an earlier run that are skipped now and whose masks are not newer than its GeoJSON."""
        file, segmented = self.folder / GEOJSON, {image.job.mask for image in self._images}
        skipped = {self._key(job): job for job in self._jobs if job.mask not in segmented}
        if not skipped:
            return {}
        try:
            written, record = file.stat().st_mtime_ns, json.loads(file.read_text(encoding="utf-8"))
            found = [Photo(tuple(one["geometry"]["coordinates"]), one["properties"]) for one in record["features"]]
            found += [Photo(None, properties) for properties in record[_WITHOUT]]
            photos = {(photo.properties["image"], photo.properties["mask"]): photo for photo in found}
            return {
                key: photos[key]
                for key, job in skipped.items()
                if key in photos and job.mask.stat().st_mtime_ns <= written
            }
        except (OSError, ValueError, KeyError, TypeError):  # missing, or not written by this function
            return {}

    def _key(self, job: Job) -> tuple[str, str]:
        return relative(job.image, self.folder), relative(job.mask, self.folder)
