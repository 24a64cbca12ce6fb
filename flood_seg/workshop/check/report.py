"""Reports the result of a check: on the screen, as JSON, and as an HTML page with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flood_seg.classes import Classes, Color, to_rgb
from flood_seg.console import counted, say, show_table
from flood_seg.data.reading import resize_mask
from flood_seg.files import write_json
from flood_seg.imaging.display import draw_classes
from flood_seg.plots.page import data_uri, encode_thumbnail, write_page
from flood_seg.workshop.check.findings import FINDING_KINDS, SEVERITIES, Finding
from flood_seg.workshop.check.result import CheckResult

MAX_LISTED = 3  # findings of a kind on the screen
OPACITY = 0.4


def show(checked: CheckResult, place: str) -> None:
    """Prints one line per kind of finding, then the first errors and warnings of each kind."""
    say(f"{place}: {counted(len(checked.samples), 'pair')}, {_totals(checked)}")
    for line in _detectability(checked):
        say(line)
    if not checked.findings:
        return
    kinds = [(kind, found) for name, kind in FINDING_KINDS.items() if (found := checked.of_kind(name))]
    rows = [(kind.severity, kind.title, len(found), _examples(found)) for kind, found in kinds]
    show_table("Findings", ("severity", "finding", "count", "samples"), rows)
    shown = [
        (kind.severity, kind.title, finding.file, finding.text)
        for kind, found in kinds
        if kind.severity != "note"
        for finding in found[:MAX_LISTED]
    ]
    if shown:
        show_table("Errors and warnings", ("severity", "finding", "file", "details"), shown)
        if more := checked.count("error") + checked.count("warning") - len(shown):
            say(f"and {more} more of these kinds; report.json lists each")


def _totals(checked: CheckResult) -> str:
    return ", ".join(counted(checked.count(severity), severity) for severity in SEVERITIES)


def _detectability(checked: CheckResult) -> list[str]:
    """Returns a line about each block, once where blocks agree."""
    return list(dict.fromkeys(trial.describe() for trial in checked.detectability))


def _examples(findings: Sequence[Finding], count: int = 4) -> str:
    stems = [finding.stems[0] for finding in findings]
    return ", ".join(stems[:count]) + (", ..." if len(stems) > count else "")


def write_report(checked: CheckResult, place: str, classes: Classes, listed: int, folder: Path) -> None:
    """Writes `report.json` and `report.html`.

    Args:
        checked: the data set.
        place: the data set's folders, for people.
        classes: of the masks.
        listed: findings of a kind that the page shows; the JSON file has all.
        folder: of both files.
    """
    record = {
        "data": place,
        "pairs": len(checked.samples),
        "errors": checked.count("error"),
        "warnings": checked.count("warning"),
        "notes": checked.count("note"),
        "swaps": checked.swaps,
        "mask_trials": [asdict(trial) for trial in checked.detectability],
        "near_duplicates": checked.duplicate_groups,
        "findings": [{"severity": finding.severity, **asdict(finding)} for finding in checked.findings],
    }
    write_json(folder / "report.json", record)
    colors = [to_rgb(color) for color in classes.colors]
    write_page(
        folder / "report.html", "check.html",
        title=f"Check of {place}", checked=checked, totals=_totals(checked),
        detectability=_detectability(checked),
        sections=[_section(checked, name, listed, colors) for name in FINDING_KINDS if checked.of_kind(name)],
        legend=list(zip(classes.names, classes.colors, strict=True))[1:],
    )  # fmt: skip
    say(f"{folder / 'report.html'}, {folder / 'report.json'}")


def _section(checked: CheckResult, name: str, listed: int, colors: Sequence[Color]) -> dict[str, Any]:
    """Returns the page's section of a kind of finding."""
    findings = checked.of_kind(name)
    entries = [{"finding": finding, "pictures": _pictures(checked, finding, colors)} for finding in findings[:listed]]
    return {"name": name, "kind": FINDING_KINDS[name], "count": len(findings), "entries": entries}


def _pictures(checked: CheckResult, finding: Finding, colors: Sequence[Color]) -> list[dict[str, str]]:
    """Returns the images of a finding with their masks; for swapped masks also with each other's mask."""
    seen = [checked.samples[stem] for stem in finding.stems[:6] if stem in checked.samples]
    pictures = []
    for one in seen:
        if one.photo:
            stem, part = one.pair.stem, checked.parts.get(one.pair.stem)
            name = f"{stem} ({part})" if part else stem
            pictures.append({"source": data_uri(_draw_mask(one.photo, one.mask, colors)), "name": name})
    for one, other in (seen, seen[::-1]) if finding.kind in ("swapped", "maybe_swapped") else ():
        name = f"{one.pair.stem} with the mask of {other.pair.stem}"
        pictures.append({"source": data_uri(_draw_mask(one.photo, other.mask, colors)), "name": name})
    return pictures


def _draw_mask(photo: bytes, mask: bytes, colors: Sequence[Color]) -> bytes:
    """Draws a mask, a PNG of class indices, onto a JPEG."""
    if not mask:
        return photo
    image, indices = (np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flag))
                      for data, flag in ((photo, cv2.IMREAD_COLOR_RGB), (mask, cv2.IMREAD_GRAYSCALE)))  # fmt: skip
    drawn = draw_classes(image, resize_mask(indices, *image.shape[:2]), colors, OPACITY, None)
    return encode_thumbnail(drawn, max(image.shape))
