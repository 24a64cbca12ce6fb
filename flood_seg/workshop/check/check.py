"""The data check verb: what is wrong with a data set, found without anybody's eye."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.console import counted
from flood_seg.data.nodata import find_strays
from flood_seg.data.parallel import parallel_map
from flood_seg.data.reading import SampleReader
from flood_seg.errors import FindingsError, UsageError
from flood_seg.files import check_writable
from flood_seg.workshop.check.examine import Examined, examine
from flood_seg.workshop.check.findings import SEVERITIES, Finding
from flood_seg.workshop.check.mask_image_fit import SIGNS, fits
from flood_seg.workshop.check.near_duplicates import find_alike, groups_of, orientations
from flood_seg.workshop.check.swapped_pairs import LEAST, find_misfits, find_swaps, find_unlike, power, weigh
from flood_seg.workshop.output_layout import find_with_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema import DataConfig
    from flood_seg.config.schema.workshop import CheckConfig, DataToolsConfig

BLOCK = 2000  # images, in the order of their stems, whose masks are tried with each other


@dataclass(frozen=True)
class Trial:
    """How well exchanged masks can be told in a block of a data set.

    Attributes:
        masks: that were tried on each other's images.
        separation: of each sign, the share of other combinations that half of the own pairs fit better than.
        power: the share of exchanges of two masks that would be found; 0: none can.
    """

    masks: int
    separation: dict[str, float]
    power: float

    def describe(self) -> str:
        """Says it in a line."""
        if not self.separation:
            return f"swapped masks cannot be found among {counted(self.masks, 'mask')}: it takes {LEAST}"
        if not self.power:
            return "swapped masks cannot be found here: masks fit their own images hardly better than others"
        return f"swapped masks: of 100 exchanges of two {self.power * 100:.0f} would be found"


@dataclass
class Checked:
    """What is known of a data set after a check.

    Attributes:
        samples: each pair that was found.
        parts: of each stem, None where nothing says it.
        findings: the errors first, then warnings and notes.
        swaps: stems whose masks fit better the other way round.
        groups: stems of near-duplicates.
        alike: the pairs that these groups are made of.
        trials: how well swaps can be told, of each block.
    """

    samples: dict[str, Examined]
    parts: dict[str, str | None]
    findings: list[Finding] = field(default_factory=list)
    swaps: list[tuple[str, str]] = field(default_factory=list)
    groups: list[list[str]] = field(default_factory=list)
    alike: set[tuple[str, str]] = field(default_factory=set)
    trials: list[Trial] = field(default_factory=list)

    def count(self, severity: str) -> int:
        """Returns how many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def check(config: DataToolsConfig, out: Path, fix: Path | None = None) -> Checked:
    """Checks a data set and writes `report.html` and `report.json`.

    Args:
        config: the data set, and what is called wrong.
        out: folder of the report.
        fix: folder of a corrected copy; None: none is made.

    Raises:
        FindingsError: there are errors; the report is written.
        DataError: a folder is missing or empty, or `check.fix_swaps` lists a stem that is in no swap.
        OutputError: the report or the copy cannot be written.
    """
    from flood_seg.workshop.check.fix import check_fixable, choose_swaps, write_fixed
    from flood_seg.workshop.check.report import show, write_report

    check_writable(out)
    if fix:
        check_fixable(config, fix, out)
    checked = look(config)
    show(checked, config.datamodule.place)
    write_report(checked, config, out)
    if fix:
        write_fixed(checked, config, fix, choose_swaps(checked, config))
    if errors := checked.count("error"):
        hint = "" if fix or config.datamodule.windows else "; --fix FOLDER writes a corrected copy"
        raise FindingsError(f"{config.datamodule.place}: {counted(errors, 'error')}, see {out / 'report.html'}{hint}")
    return checked


def look(config: DataToolsConfig) -> Checked:
    """Examines each pair, then compares them with each other."""
    data, options = config.datamodule, config.check
    if data.sample is not None:
        raise UsageError("datamodule=sample is drawn when it is trained on; give --data FOLDER")
    placed, faults = find_with_parts(data)
    reader = SampleReader.of(data, config.task)
    pairs = [pair for pair, _ in placed]
    looks = parallel_map(lambda pair: examine(pair, reader, options), pairs, "Checking", threads=8)
    samples = {seen.pair.stem: seen for seen in looks}
    checked = Checked(samples, {pair.stem: part for pair, part in placed})
    checked.findings = [Finding("unpaired", (fault.stem,), fault.path.name, fault.reason) for fault in faults]
    checked.findings += _once_a_file([finding for seen in samples.values() for finding in seen.findings])
    checked.findings += _odd_channels(samples)
    checked.findings += _stray_values(samples, data)
    _compare_images(checked, options)
    _compare_masks(checked, options)
    checked.findings = [_with_owner(finding, checked) for finding in checked.findings]
    order = {severity: place for place, severity in enumerate(SEVERITIES)}
    checked.findings.sort(key=lambda finding: order[finding.severity])
    return checked


def _once_a_file(findings: Sequence[Finding]) -> list[Finding]:
    """Leaves out what the windows of one raster repeat."""
    first: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        first.setdefault((finding.kind, finding.file, finding.text), finding)
    return list(first.values())


def _with_owner(finding: Finding, checked: Checked) -> Finding:
    """Names the images whose size is that of a mask of another shape, near-duplicates of its own first."""
    stem = finding.stems[0]
    if finding.kind != "shape" or any(stem in swap for swap in checked.swaps):
        return finding
    near = {other for group in checked.groups if stem in group for other in group}
    wanted = checked.samples[stem].mask_size
    owners = sorted((other not in near, other) for other, seen in checked.samples.items() if seen.size == wanted)
    names = [f"{other}, a near-duplicate" if not far else other for far, other in owners[:3]]
    return replace(finding, text=f"{finding.text}, as the image {' or '.join(names)}") if names else finding


def _odd_channels(samples: dict[str, Examined]) -> list[Finding]:
    """Names files whose channels or depth differ from those of most."""
    found = []
    for kind in ("image", "mask"):
        headers = {stem: getattr(seen, f"{kind}_header") for stem, seen in samples.items()}
        forms = {stem: f"{header.channels}, {header.depth}" for stem, header in headers.items() if header}
        usual, many = Counter(forms.values()).most_common(1)[0] if forms else ("", 0)
        if many * 2 <= len(forms):
            continue
        for stem, form in forms.items():
            if form != usual:
                file = getattr(samples[stem].pair, kind).name
                found.append(Finding("channels", (stem,), file, f"{form}; most {kind}s are {usual}"))
    return _once_a_file(found)


def _stray_values(samples: dict[str, Examined], data: DataConfig) -> list[Finding]:
    """Names values that are likely to mean no data, once for the data set."""
    strays = find_strays({stem: seen.ends for stem, seen in samples.items()}, data.bands, data.value_scale)
    return [Finding("stray", one.stems, samples[one.stems[0]].pair.image.name, str(one)) for one in strays]


def _compare_images(checked: Checked, options: CheckConfig) -> None:
    """Adds near-duplicates and their groups."""
    # Windows of one raster lie side by side and may well look alike: water does.
    seen = [one for one in checked.samples.values() if one.view is not None and one.pair.window is None]
    stems = [one.pair.stem for one in seen]
    views = [one.view for one in seen if one.view is not None]
    pairs = find_alike(views, options.duplicate_bits, options.duplicate_correlation)
    for group in groups_of(pairs, len(stems)):
        members = [stems[index] for index in group]
        checked.groups.append(members)
        parts = sorted({part for stem in members if (part := checked.parts.get(stem))})
        named = ", ".join(f"{stem} ({checked.parts[stem]})" if parts else stem for stem in members)
        kind = "leak" if len(parts) > 1 else "duplicate"
        checked.findings.append(Finding(kind, tuple(members), seen[group[0]].pair.image.name, named))
    checked.alike = {(stems[i], stems[j]) for i, j in pairs}


def _compare_masks(checked: Checked, options: CheckConfig) -> None:
    """Tries the masks of neighbouring stems with each other's images; compares those of near-duplicates."""
    usable = [one for one in checked.samples.values() if one.view is not None and _says_something(one)]
    for start in range(0, len(usable), BLOCK):
        _compare_block(usable[start : start + BLOCK], checked, options)
    swapped = {stem for swap in checked.swaps for stem in swap}
    for first, second in sorted(checked.alike):
        one, other = checked.samples[first].mask_view, checked.samples[second].mask_view
        if {first, second} & swapped or one is None or other is None:
            continue
        # Of the orientation as it is; a flipped copy has a flipped mask.
        agreement = max(_soft_iou(one, turned) for turned in orientations(other))
        if agreement < options.mask_agreement:
            file = checked.samples[first].pair.mask.name
            text = f"masks of {first} and {second}: IoU {agreement:.2f}"
            checked.findings.append(Finding("contradiction", (first, second), file, text))


def _mask_of(one: Examined) -> np.ndarray | None:
    """What `fits` takes: the indices of several classes, else the share of the foreground."""
    return one.mask_view if one.class_view is None else one.class_view


def _says_something(one: Examined) -> bool:
    mask = _mask_of(one)
    return mask is not None and bool((mask != mask.flat[0]).any())


def _compare_block(block: Sequence[Examined], checked: Checked, options: CheckConfig) -> None:
    if len(block) < LEAST:
        checked.trials += [Trial(len(block), {}, 0.0)] if block else []
        return
    evidence = weigh(fits([one.view for one in block if one.view is not None],
                          [mask for one in block if (mask := _mask_of(one)) is not None]))  # fmt: skip
    scores = evidence.scores
    found = power(scores, options.swap_warning) if scores is not None else 0.0
    checked.trials.append(Trial(len(block), dict(zip(SIGNS, evidence.separation, strict=True)), found))
    if scores is not None:
        settled = _add_swaps(block, scores, checked, options)
        _add_misfits(block, scores, settled, checked, options)


def _add_swaps(block: Sequence[Examined], scores: np.ndarray, checked: Checked, options: CheckConfig) -> set[int]:
    """Returns which of the block are settled by them."""
    settled = set[int]()
    for found in find_swaps(scores, options.swap_warning):
        one, other = block[found.first], block[found.second]
        stems = (one.pair.stem, other.pair.stem)
        if tuple(sorted(stems)) in checked.alike:
            continue
        sizes = one.size != one.mask_size and one.size == other.mask_size and other.size == one.mask_size
        text = f"the masks of {stems[0]} and {stems[1]} fit better exchanged ({_by_chance(found.chance)}"
        text += "; their sizes then fit too)" if sizes else ")"
        kind = "swapped" if sizes or found.chance < options.swap_error else "maybe_swapped"
        checked.swaps.append(stems)
        checked.findings.append(Finding(kind, stems, one.pair.mask.name, text))
        settled |= {found.first, found.second}
    return settled


def _add_misfits(
    block: Sequence[Examined], scores: np.ndarray, settled: set[int], checked: Checked, options: CheckConfig
) -> None:
    """Names masks that another image explains better, and those that fit their own as badly as any."""
    place = {one.pair.stem: index for index, one in enumerate(block)}
    near = [(place[a], place[b]) for a, b in checked.alike if a in place and b in place]
    for found in find_misfits(scores, options.misfit_warning, near):
        if found.second not in settled:
            image, mask = block[found.first].pair, block[found.second].pair
            text = f"fits {image.image.name} better than its own image ({_by_chance(found.chance)})"
            checked.findings.append(Finding("misfit", (mask.stem, image.stem), mask.mask.name, text))
            settled = settled | {found.second}
    rest = [index for index in range(len(block)) if index not in settled]
    if len(rest) < LEAST:
        return
    for index in find_unlike(scores[np.ix_(rest, rest)], options.misfit_share):
        mask = block[rest[index]].pair
        text = "fits its image no better than masks of other images do"
        checked.findings.append(Finding("misfit", (mask.stem,), mask.mask.name, text))


def _by_chance(expected: float) -> str:
    return f"expected by chance in this data set: {expected:.1g}"


def _soft_iou(one: np.ndarray, other: np.ndarray) -> float:
    union = float(np.maximum(one, other).sum())
    return float(np.minimum(one, other).sum()) / union if union else 1.0
