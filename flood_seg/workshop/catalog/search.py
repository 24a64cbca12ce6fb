"""Searches a STAC API, and groups what it finds by acquisition: the tiles that a satellite took in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flood_seg.console import counted, warn
from flood_seg.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pystac import Item
    from pystac_client.exceptions import APIError

    from flood_seg.config.schema.catalog import SceneConfig
    from flood_seg.workshop.catalog.area import Area

PAGE = 100  # scenes per answer; Earth Search gives no more than 250
CLOUD_COVER = "eo:cloud_cover"


@dataclass(frozen=True)
class Acquisition:
    """The scenes of one day, platform and direction of flight that lie in an area.

    Attributes:
        items: the one that covers most of the area first.
        time: when the first of them was taken, in UTC.
        cloud: percent, the mean over the items, weighted by their share of the area; None: unknown.
        coverage: percent of the area that the items' outlines cover.
    """

    items: tuple[Item, ...]
    time: datetime
    cloud: float | None
    coverage: float

    @property
    def platform(self) -> str:
        """The satellite, as far as it is known."""
        return str(self.items[0].properties.get("platform", ""))


class Catalog:
    """A STAC API."""

    def __init__(self, config: SceneConfig) -> None:
        """Opens nothing yet."""
        from pystac_client.stac_api_io import StacApiIO

        self._config = config
        self._io = StacApiIO(timeout=config.scene.timeout, max_retries=config.scene.retries)

    def search(self, area: Area, dates: str) -> list[Acquisition]:
        """Returns the acquisitions of an area within dates, the newest first; see `check_dates`.

        Raises:
            DataError: the catalogue does not answer, is none, or refuses the search.
        """
        from pystac.errors import STACError
        from pystac_client import Client
        from pystac_client.errors import ClientTypeError
        from pystac_client.exceptions import APIError

        url, scene = self._config.catalog.url, self._config.scene
        try:
            found = Client.open(url, stac_io=self._io).search(
                collections=[scene.collection], bbox=area, datetime=dates, limit=PAGE, max_items=scene.max_items
            )
            items = list(found.items())
        except APIError as error:
            raise DataError(f"catalog.url={url}: {_reason(error)}") from error
        except (STACError, ClientTypeError, ValueError, KeyError) as error:
            raise DataError(f"catalog.url={url}: is no STAC API ({type(error).__name__}); check the address") from error
        if len(items) == scene.max_items:
            warn(f"only {counted(len(items), 'scene')} of the search are used; see scene.max_items, or shorten --date")
        return group(items, area)

    def token(self) -> str:
        """Returns the query that is appended to the addresses of files; empty: none is required.

        Raises:
            DataError: it cannot be fetched.
        """
        from pystac_client.exceptions import APIError

        if not (pattern := self._config.catalog.token_url):
            return ""
        url = pattern.replace("{collection}", self._config.scene.collection)
        try:
            return str(self._io.read_json(url)["token"])
        except APIError as error:
            raise DataError(f"catalog.token_url={url}: {_reason(error)}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"catalog.token_url={url}: answers without a token; check the address") from error


def _reason(error: APIError) -> str:
    if (status := getattr(error, "status_code", None)) is None:
        return "no network, or the server does not answer; see scene.timeout, or set another catalog"
    return f"answers with HTTP status {status}; try again later, or set another catalog"


def check_dates(text: str) -> str:
    """Returns one date, `2026-01-14`, or two, `2026-01-14/2026-02-01`, where `..` leaves one end open.

    Raises:
        UsageError: they are no dates, or the second one is the earlier one.
    """
    ends = text.split("/")
    try:
        known = [datetime.strptime(end, "%Y-%m-%d") for end in ends if end != ".." or len(ends) == 1]
    except ValueError:
        known = []
    if len(ends) > 2 or not known or known != sorted(known):
        raise UsageError(
            f"--date {text}: give a date, 2026-01-14, or the first and the last one, 2026-01-14/2026-02-01"
        )
    return text


def group(items: Iterable[Item], area: Area) -> list[Acquisition]:
    """Groups items by day, platform and direction of flight; those that only touch the area are left out."""
    import shapely

    box = shapely.box(*area)
    passes: dict[tuple[str, ...], list[tuple[float, Item]]] = {}
    outlines = {}
    for item in items:
        outline = shapely.make_valid(shapely.geometry.shape(item.geometry)).intersection(box)
        if not outline.area:
            continue
        outlines[item.id] = outline
        names = ("platform", "sat:orbit_state")
        key = (_time(item).date().isoformat(), *(str(item.properties.get(name)) for name in names))
        passes.setdefault(key, []).append((outline.area, item))
    acquisitions = []
    for found in passes.values():
        # Of two versions of a tile, the one with the later name, which was processed later.
        found.sort(key=lambda pair: pair[1].id, reverse=True)
        found.sort(key=lambda pair: round(pair[0] / box.area, 6), reverse=True)
        tiles = tuple(item for _, item in found)
        union = shapely.union_all([outlines[item.id] for item in tiles])
        time = min(map(_time, tiles))
        acquisitions.append(Acquisition(tiles, time, _cloud(found), 100 * union.area / box.area))
    return sorted(acquisitions, key=lambda one: one.time, reverse=True)


def _time(item: Item) -> datetime:
    """Returns when an item was taken; the datetime of one that took a while is null, and its start is known."""
    time = item.datetime or item.common_metadata.start_datetime
    assert time is not None  # STAC requires one of them
    return time.astimezone(UTC)


def _cloud(found: Sequence[tuple[float, Item]]) -> float | None:
    known = [(area, float(item.properties[CLOUD_COVER])) for area, item in found if CLOUD_COVER in item.properties]
    total = sum(area for area, _ in known)
    return sum(area * cloud for area, cloud in known) / total if total else None


def choose(found: Sequence[Acquisition], cloud: float, coverage: float, count: int) -> list[Acquisition]:
    """Returns the newest `count` acquisitions that are clear enough and cover enough of the area, in percent.

    Raises:
        DataError: there is none; says what to relax.
    """
    if not found:
        raise DataError("no scenes found; extend --date, enlarge the area, or choose another --collection")
    covering = [one for one in found if one.coverage >= coverage]
    if not covering:
        most = max(one.coverage for one in found)
        raise DataError(
            f"no scenes found: {counted(len(found), 'date')} with at most {most:.0f} % of the area; extend --date, or "
            f"lower scene.coverage={coverage:g}"
        )
    clear = [one for one in covering if one.cloud is None or one.cloud <= cloud]
    if not clear:
        least = min(one.cloud for one in covering if one.cloud is not None)
        raise DataError(
            f"no scenes found: {counted(len(covering), 'date')} with at least {least:.0f} % clouds; extend --date, or "
            f"raise --cloud {cloud:g}"
        )
    return clear[:count]
