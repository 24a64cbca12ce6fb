"""What a check found: on the screen, as JSON, and as a page with pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from flood_seg.console import counted, say, show_table
from flood_seg.data.check.kinds import KINDS, SEVERITIES, Finding
from flood_seg.imaging.display import draw_classes
from flood_seg.imaging.write import write_json
from flood_seg.page.render import data_uri, encode_thumbnail, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.data.check.check import Checked
    from flood_seg.schema.workshop import DataToolsConfig

LINES = 40  # findings that the screen names


def show(checked: Checked, place: str) -> None:
    """Prints a line a kind of finding, then each error and warning by itself."""
    say(f"{place}: {counted(len(checked.samples), 'pair')}, {_totals(checked)}")
    if not checked.findings:
        return
    counts = Counter(finding.kind for finding in checked.findings)
    rows = [
        (kind.severity, kind.title, counts[name], _examples(checked, name))
        for name, kind in KINDS.items()
        if counts[name]
    ]
    show_table("What was found", ("", "what", "how often", "where"), rows)
    serious = [finding for finding in checked.findings if finding.severity != "note"]
    if serious:
        shown = [
            (finding.severity, KINDS[finding.kind].title, finding.file, finding.text) for finding in serious[:LINES]
        ]
        show_table("Errors and warnings", ("", "what", "file", "what was seen"), shown)
    if len(serious) > LINES:
        say(f"and {len(serious) - LINES} more; report.html and report.json have all")


def _totals(checked: Checked) -> str:
    return ", ".join(counted(checked.count(severity), severity) for severity in SEVERITIES)


def _examples(checked: Checked, kind: str, count: int = 4) -> str:
    stems = [finding.stems[0] for finding in checked.findings if finding.kind == kind]
    return ", ".join(stems[:count]) + (", ..." if len(stems) > count else "")


def write_report(checked: Checked, config: DataToolsConfig, folder: Path) -> None:
    """Writes `report.json` and `report.html`."""
    record = {
        "data": config.datamodule.place,
        "pairs": len(checked.samples),
        "errors": checked.count("error"),
        "warnings": checked.count("warning"),
        "notes": checked.count("note"),
        "swaps": checked.swaps,
        "near_duplicates": checked.groups,
        "findings": [{"severity": finding.severity, **asdict(finding)} for finding in checked.findings],
    }
    write_json(folder / "report.json", record)
    found = [name for name in KINDS if any(finding.kind == name for finding in checked.findings)]
    colors = config.datamodule.classes(config.task)
    write_page(
        folder / "report.html", "check.html",
        title=f"Check of {config.datamodule.place}", checked=checked, totals=_totals(checked),
        sections=[_section(checked, name, config.check.listed) for name in found],
        legend=list(zip(colors.names, colors.colors, strict=True))[1:],
    )  # fmt: skip
    say(f"{folder / 'report.html'}, {folder / 'report.json'}")


def _section(checked: Checked, name: str, listed: int) -> dict[str, Any]:
    """Returns what the page shows of a kind of finding."""
    findings = [finding for finding in checked.findings if finding.kind == name]
    entries = [{"finding": finding, "pictures": _pictures(checked, finding)} for finding in findings[:listed]]
    return {"name": name, "kind": KINDS[name], "count": len(findings), "entries": entries}


def _pictures(checked: Checked, finding: Finding) -> list[dict[str, str]]:
    """Returns the images of a finding: each with its mask where there is one."""
    pictures = []
    for stem in finding.stems[:6]:
        seen = checked.samples.get(stem)
        if seen is None or not (seen.overlay or seen.photo):
            continue
        part = checked.parts.get(stem)
        pictures.append({"source": data_uri(seen.overlay or seen.photo), "name": f"{stem} ({part})" if part else stem})
    if finding.kind == "swapped":
        pictures += [_exchanged(checked, *pair) for pair in (finding.stems, finding.stems[::-1])]
    return pictures


def _exchanged(checked: Checked, image: str, mask: str) -> dict[str, str]:
    """Draws an image with another one's mask."""
    photo = cv2.imdecode(np.frombuffer(checked.samples[image].photo, np.uint8), cv2.IMREAD_COLOR_RGB)
    view = checked.samples[mask].mask_view
    assert photo is not None and view is not None
    area = cv2.resize(view, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    drawn = draw_classes(np.asarray(photo), area.astype(np.uint8), [(0, 0, 0), (30, 144, 255)], 0.4, None)
    return {"source": data_uri(encode_thumbnail(drawn, max(photo.shape))), "name": f"{image} with the mask of {mask}"}
