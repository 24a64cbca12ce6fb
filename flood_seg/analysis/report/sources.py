"""What a report is made of: the results of maps, and the JSON files that the analyses have written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.analysis.area.files import JSON as AREA
from flood_seg.analysis.impact.files import JSON as IMPACT
from flood_seg.analysis.result import MapResult, open_results
from flood_seg.errors import DataError, UsageError
from flood_seg.products.ground import Ground

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANGE, FLOOD = "change.json", "flood.json"
KEYS = {AREA: ("total", "districts"), IMPACT: ("total", "districts"), CHANGE: ("classes",), FLOOD: ("classes",)}
OVERLAP = 0.01  # share of the smaller footprint, above which two scenes show the same ground


@dataclass(frozen=True)
class Source:
    """A scene.

    Attributes:
        result: of its map.
        change: `change.json`; None: there is none.
        flood: `flood.json`; None: there is none.
        newer: the scene that shows the same ground later, by which this one does not count; None: it counts.
    """

    result: MapResult
    change: dict[str, Any] | None
    flood: dict[str, Any] | None
    newer: str | None = None


@dataclass(frozen=True)
class Sources:
    """All that a report is made of.

    Attributes:
        scenes: the newest first.
        area: `flood_area.json`, of all scenes that count, or of the only one; None: there is none.
        area_folder: its folder.
        impact: `impact.json`; None: there is none.
        impact_folder: its folder.
    """

    scenes: list[Source]
    area: dict[str, Any] | None
    area_folder: Path
    impact: dict[str, Any] | None
    impact_folder: Path | None
    warnings: list[str] = field(default_factory=list)

    @property
    def counted(self) -> list[Source]:
        """The scenes that show the present: none of a newer one's ground."""
        return [scene for scene in self.scenes if scene.newer is None]


def read_sources(folders: Sequence[Path], area: Path | None, impact: Path | None, water: str | None) -> Sources:
    """Reads what there is.

    Args:
        folders: of results of `flood-seg map`, or archives of them.
        area: folder of `flood_area.json`; None: the only one of `folders`, if it has one.
        impact: folder of `impact.json`; None: the only one of `folders`, if it has one.
        water: see `MapResult.open`.

    Raises:
        UsageError: a folder is no result, or has not what its flag promises.
        DataError: a file is damaged, or several scenes are not georeferenced.
    """
    results = sorted(open_results(folders, water), key=lambda result: (result.time, result.name), reverse=True)
    if len(results) > 1 and (unplaced := [result for result in results if not result.ground]):
        raise DataError(f"{unplaced[0].folder}: is not georeferenced, so that it cannot be on a map with other scenes")
    newer = _superseded(results)
    scenes = [
        Source(one, _document(one.folder / CHANGE), _document(one.folder / FLOOD), newer.get(one.folder))
        for one in results
    ]
    only = folders[0] if len(folders) == 1 else None
    found_area = _document(area / AREA, "--area", "flood-area") if area else _document(only / AREA) if only else None
    found_impact = (
        _document(impact / IMPACT, "--impact", "impact") if impact else _document(only / IMPACT) if only else None
    )
    return Sources(scenes, found_area, area or folders[0], found_impact, impact or only)


def _document(path: Path, flag: str | None = None, verb: str = "") -> dict[str, Any] | None:
    """Returns a JSON file, or None where it is missing and no flag promises it."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        if flag is None:
            return None
        raise UsageError(f"{flag} {path.parent}: has no {path.name}; make it by flood-seg {verb}") from error
    except NotADirectoryError as error:
        raise UsageError(f"{flag or ''} {path.parent}: is not a folder".strip()) from error
    except ValueError as error:
        raise DataError(f"{path}: is damaged; make it anew") from error
    if not isinstance(found, dict) or any(key not in found for key in KEYS[path.name]):
        raise DataError(f"{path}: has not what a report needs; make it anew")
    return found


def _superseded(results: Sequence[MapResult]) -> dict[Path, str]:
    """Returns the scenes that a newer one shows too, and its name; the newest first."""
    import shapely

    from flood_seg.scenes.grid import Box

    kept, found = list[tuple[Any, str]](), dict[Path, str]()
    for result in results if len(results) > 1 else ():
        ground = Ground.of(result.georeference)
        assert ground
        outline = shapely.geometry.shape(ground.footprint(Box(0, 0, result.height, result.width)))
        for other, name in kept:
            if outline.intersection(other).area > OVERLAP * min(outline.area, other.area):
                found[result.folder] = name
                break
        else:
            kept.append((outline, result.name))
    return found
