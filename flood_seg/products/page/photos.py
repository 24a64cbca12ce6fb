"""Writes photos.html, a map of where photos were taken, coloured by the share of a class."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flood_seg.files import write_text
from flood_seg.inference.photos.photo import SHARE_COLORS, UNKNOWN_COLOR
from flood_seg.products.page.render import render
from flood_seg.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.inference.photos.photo import Photo

PAGE = "photos.html"
MAX_LATITUDE = 85.05  # where EPSG:3857 ends


def write_photos_page(folder: Path, photos: Sequence[Photo], model: str) -> None:
    """Writes the map of photos.

    Args:
        folder: of the page, from which the paths of the photos and of their masks start.
        photos: all of a run, of which at least one has a position.
        model: its file or address.

    Raises:
        OutputError: the page cannot be written.
    """
    placed = [photo.coordinates for photo in photos if photo.coordinates]
    longitudes = [longitude for longitude, _ in placed]
    across = max(longitudes) - min(longitudes) > 180  # the antimeridian
    home = os.path.commonpath([(folder / photo.properties["image"]).absolute().parent for photo in photos])
    failed = sum(photo.properties["error"] is not None for photo in photos)
    content = {
        "name": Path(os.path.normpath(home)).name,
        "facts": _facts(photos, model),
        "warnings": [f"{failed} of {len(photos)} photos have no mask"] if failed else [],
        "classes": list(next((photo.shares for photo in photos if photo.shares), {})),
        "colors": SHARE_COLORS,
        "unknown": UNKNOWN_COLOR,
        "photos": [_describe(photo, across) for photo in photos],
        "version": __version__,
    }
    write_text(folder / PAGE, render("photos", content))


def _describe(photo: Photo, across: bool) -> dict[str, Any]:
    known = photo.properties
    described = {
        "name": Path(known["image"]).name,
        "links": {name: _link(known[name]) for name in ("image", "mask") if known[name]},
        "shares": list(photo.shares.values()),
        "shift": known["input_shift"],
        "error": known["error"],
    }
    if not photo.coordinates:
        return described
    longitude, latitude = photo.coordinates
    longitude += 360 if across and longitude < 0 else 0
    place = {"position": [max(-MAX_LATITUDE, min(MAX_LATITUDE, latitude)), longitude]}
    more = ("altitude", "time", "heading", "heading_reference", "thumbnail")
    return described | place | {name: known[name] for name in more}


def _link(path: str) -> str:
    """Returns the address of a file beside the page; a name cannot be taken for a scheme."""
    return Path(path).as_uri() if Path(path).is_absolute() else quote(os.fsencode(path))


def _facts(photos: Sequence[Photo], model: str) -> list[tuple[str, str]]:
    placed = sum(photo.coordinates is not None for photo in photos)
    count = f"{len(photos)}" if placed == len(photos) else f"{len(photos)}, {placed} with a position"
    facts = [("Model", "/".join(Path(model).parts[-2:])), ("Photos", count)]
    given = [datetime.fromisoformat(time) for photo in photos if (time := photo.properties.get("time"))]
    times = sorted(time.astimezone(UTC) for time in given if time.tzinfo)
    if times:
        first, last = (f"{time:%Y-%m-%d %H:%M}" for time in (times[0], times[-1]))
        facts.append(("Taken", f"{first} UTC" if first == last else f"{first} to {last} UTC"))
    return [*facts, ("Processed", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")]
