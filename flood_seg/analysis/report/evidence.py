"""What a report rests on, as texts: observations, the model and its accuracy, limits, warnings, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.analysis.report.figures import mapped_flood
from flood_seg.analysis.report.language import UNKNOWN, step_of
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from flood_seg.analysis.report.figures import Figures
    from flood_seg.analysis.report.language import Language
    from flood_seg.analysis.report.sources import Source, Sources
    from flood_seg.analysis.result import MapResult


@dataclass(frozen=True)
class Observation:
    """What was observed, when, and what it counts for."""

    name: str
    time: str
    pixel: str
    flooded: str
    unobserved: str
    role: str


def observation(scene: Source, language: Language) -> Observation:
    """Returns what was seen of a scene."""
    result = scene.result
    time = language.short_time(result.time)
    if (source := result.properties.get("flood_seg:datetime_source", "scene")) != "scene":
        time = language.text("%(time)s (%(source)s)", time=time, source=language.text(source))
    flooded = mapped_flood(scene)
    unobserved = float(result.properties.get("flood_seg:unobserved_share", 0.0))
    role = language.text("counts")
    if scene.newer:
        role = language.text("earlier than %(name)s, does not count", name=scene.newer)
    area = UNKNOWN if flooded is None else language.area(flooded)
    return Observation(result.name, time, _pixel(result, language), area, language.percent(unobserved), role)


def references(sources: Sources, language: Language) -> list[str]:
    """Returns what the scenes were compared with."""
    found = []
    for scene in sources.scenes:
        if scene.change:
            before = scene.change.get("before", {})
            found.append(
                language.text("%(scene)s is compared with %(name)s, taken %(time)s.", scene=scene.result.name,
                              name=before.get("name", UNKNOWN), time=time_text(before.get("time"), language))
            )  # fmt: skip
        if scene.flood:
            file = Path(str(scene.flood.get("permanent", UNKNOWN))).name
            found.append(
                language.text("%(scene)s: permanent water is that of %(file)s.", scene=scene.result.name, file=file)
            )
    return found


def model_sentences(sources: Sources, total: Figures | None, language: Language) -> list[str]:
    """Returns which models found the water, and how right they are."""
    found = []
    for scene in {str(one.result.properties.get("mlm:name")): one for one in sources.counted}.values():
        result = scene.result
        name = str(result.properties.get("mlm:name", UNKNOWN))
        architecture = " ".join(str(result.spec.provenance[key]) for key in ("architecture", "encoder")
                                if key in result.spec.provenance)  # fmt: skip
        found.append(language.text("Model: %(name)s.", name=f"{name} ({architecture})" if architecture else name))
        iou = (result.spec.provenance.get("metrics") or {}).get("val_iou")
        if isinstance(iou, int | float):
            found.append(
                language.text("On its validation images, found and true water overlap by %(iou)s (IoU; 1 is perfect).",
                              iou=language.number(float(iou), 0.01))
            )  # fmt: skip
    if total and total.flooded and total.flooded.method:
        found.append(language.text("Interval of the area: %(method)s.", method=language.foreign(total.flooded.method)))
    return found


def limits(sources: Sources, language: Language) -> list[str]:
    """Returns what a reader must not conclude: the report's own sentences, and those of the analyses."""
    own = [
        language.text("The report shows the time of the pictures, not the present."),
        language.text("Water below trees, roofs and bridges is not seen; shadows and wet ground can look like water."),
    ]
    given = [*(sources.area or {}).get("limits", []), *(sources.impact or {}).get("limits", [])]
    return [*own, *(_sentence(language.foreign(str(one))) for one in given)]


def warnings(sources: Sources) -> list[str]:
    """Returns the warnings of all files, each once, as they were written."""
    found: list[Any] = list(sources.warnings)
    for scene in sources.counted:
        found += scene.result.properties.get("flood_seg:warnings", [])
        found += (scene.change or {}).get("warnings", []) + (scene.flood or {}).get("warnings", [])
    found += (sources.area or {}).get("warnings", []) + (sources.impact or {}).get("warnings", [])
    return list(dict.fromkeys(map(str, found)))


def missing(sources: Sources, language: Language) -> list[tuple[str, str]]:
    """Returns what the report lacks, and the command that makes it."""
    text, scene = language.text, sources.scenes[0]
    folder, several = str(scene.result.folder), len(sources.counted) > 1
    found = list[tuple[str, str]]()
    if not (scene.flood or scene.change):
        source = scene.result.record.get("assets", {}).get("scene", {}).get("href", "SCENE")
        found.append(
            (text("Rivers and lakes count as flooded, since permanent water is not known."),
             f"flood-seg map --image {source} --out {folder} --permanent PERMANENT_WATER")
        )  # fmt: skip
    if not sources.area or not sources.area["districts"]:
        what = text("No districts are known.") if sources.area else text("No interval and no districts are known.")
        folders = " ".join(str(one.result.folder) for one in sources.counted)
        given = f"{folders} --out AREA" if several else folders
        found.append((what, f"flood-seg flood-area --results {given} --districts DISTRICTS"))
    if not sources.impact:
        found.append(
            (text("Whom the flood affects is not known."),
             f"flood-seg impact --flood {folder} --roads ROADS --buildings BUILDINGS --population POPULATION "
             "--places PLACES --depots DEPOTS --out IMPACT")
        )  # fmt: skip
    return found


def time_text(value: Any, language: Language) -> str:
    """Returns a time of a JSON file, in UTC where it has no zone; UNKNOWN where it is none."""
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        return UNKNOWN
    return language.short_time(when if when.tzinfo else when.replace(tzinfo=UTC))


def _pixel(result: MapResult, language: Language) -> str:
    """Returns the size of a pixel on the ground."""
    if (ground := result.ground) is None:
        return UNKNOWN
    side = ground.pixel_area(Box(0, 0, result.height, result.width)) ** 0.5
    return language.text("%(number)s m", number=language.number(side, min(1.0, step_of(side, 2))))


def _sentence(text: str) -> str:
    """Returns a text as a sentence: limits are written as sentences by some analyses, and as phrases by others."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
