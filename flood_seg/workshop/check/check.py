"""The data check verb: finds faulty, swapped and near-duplicate samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from flood_seg.config.schema import DataConfig
from flood_seg.config.schema.workshop import CheckConfig
from flood_seg.console import counted
from flood_seg.data.nodata import find_suspected_nodata
from flood_seg.data.parallel import parallel_map
from flood_seg.data.prepare import prepare_data
from flood_seg.data.reading import SampleReader
from flood_seg.errors import FindingsError, UsageError
from flood_seg.files import check_writable
from flood_seg.workshop.check.examine import ExaminedPair, examine
from flood_seg.workshop.check.findings import SEVERITIES, Finding
from flood_seg.workshop.check.fix import check_fixable, choose_swaps, write_fixed
from flood_seg.workshop.check.mask_image_fit import CUES, fit_scores
from flood_seg.workshop.check.near_duplicates import connected_groups, find_near_duplicates, orientations
from flood_seg.workshop.check.report import show, write_report
from flood_seg.workshop.check.result import CheckResult
from flood_seg.workshop.check.swapped_pairs import (
    MIN_IMAGES,
    SwapDetectability,
    find_misfits,
    find_poor_fits,
    find_swaps,
    power,
    weigh_cues,
)
from flood_seg.workshop.output_layout import find_with_parts

BLOCK_IMAGES = 2000  # in the order of their stems, whose masks are compared with each other's images


def check(data: DataConfig, task: str, options: CheckConfig, out: Path, fix: Path | None = None) -> CheckResult:
    """Checks a data set and writes `report.html` and `report.json`.

    Args:
        data: the data set.
        task: `binary` or `multiclass`.
        options: thresholds of the findings, and what the report shows.
        out: folder of the report.
        fix: folder of a corrected copy; None: none is made.

    Raises:
        FindingsError: there are errors; the report is written.
        DataError: a folder is missing or empty, or `check.fix_swaps` lists a stem that is in no swap.
        OutputError: the report or the copy cannot be written.
    """
    check_writable(out)
    if fix:
        check_fixable(data, fix, out)
    result = find_problems(data, task, options)
    show(result, data.place)
    write_report(result, data.place, data.classes(task), options.listed, out)
    if fix:
        write_fixed(result, SampleReader.of(data, task), fix, choose_swaps(result, options.fix_swaps))
    if errors := result.count("error"):
        hint = "" if fix or data.windows else "; --fix FOLDER writes a corrected copy"
        raise FindingsError(f"{data.place}: {counted(errors, 'error')}, see {out / 'report.html'}{hint}")
    return result


def find_problems(data: DataConfig, task: str, options: CheckConfig) -> CheckResult:
    """Examines each pair, then compares them with each other; writes nothing."""
    if data.sample is not None:
        raise UsageError("datamodule=sample is drawn when it is trained on; give --data FOLDER")
    prepare_data(data)
    placed, faults = find_with_parts(data)
    reader = SampleReader.of(data, task)
    pairs = [pair for pair, _ in placed]
    looks = parallel_map(lambda pair: examine(pair, reader, options), pairs, "Checking", threads=8)
    samples = {seen.pair.stem: seen for seen in looks}
    result = CheckResult(samples, {pair.stem: part for pair, part in placed})
    result.findings = [Finding("unpaired", (fault.stem,), fault.path.name, fault.reason) for fault in faults]
    result.findings += _once_a_file([finding for seen in samples.values() for finding in seen.findings])
    result.findings += _odd_channels(samples)
    result.findings += _suspected_nodata(samples, data)
    _compare_images(result, options)
    _compare_masks(result, options)
    result.findings = [_with_owner(finding, result) for finding in result.findings]
    order = {severity: place for place, severity in enumerate(SEVERITIES)}
    result.findings.sort(key=lambda finding: order[finding.severity])
    return result


def _once_a_file(findings: Sequence[Finding]) -> list[Finding]:
    """Removes findings that several windows of one raster repeat."""
    first: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        first.setdefault((finding.kind, finding.file, finding.text), finding)
    return list(first.values())


def _with_owner(finding: Finding, result: CheckResult) -> Finding:
    """Names images whose size matches the mask, near-duplicates of its own image first."""
    stem = finding.stems[0]
    if finding.kind != "shape" or any(stem in swap for swap in result.swaps):
        return finding
    near = {other for group in result.duplicate_groups if stem in group for other in group}
    wanted = result.samples[stem].mask_size
    owners = sorted((other not in near, other) for other, seen in result.samples.items() if seen.size == wanted)
    names = [f"{other}, a near-duplicate" if not far else other for far, other in owners[:3]]
    return replace(finding, text=f"{finding.text}, as the image {' or '.join(names)}") if names else finding


def _odd_channels(samples: dict[str, ExaminedPair]) -> list[Finding]:
    """Reports files whose channels or bit depth differ from those of the majority."""
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


def _suspected_nodata(samples: dict[str, ExaminedPair], data: DataConfig) -> list[Finding]:
    """Reports suspected nodata values, each once for the data set."""
    suspected = find_suspected_nodata(
        {stem: seen.extremes for stem, seen in samples.items()}, data.bands, data.value_scale
    )
    return [Finding("stray", one.stems, samples[one.stems[0]].pair.image.name, str(one)) for one in suspected]


def _compare_images(result: CheckResult, options: CheckConfig) -> None:
    """Adds near-duplicates and their groups."""
    # Windows of one raster are neighbours and may look the same: water does.
    seen = [one for one in result.samples.values() if one.view is not None and one.pair.window is None]
    stems = [one.pair.stem for one in seen]
    views = [one.view for one in seen if one.view is not None]
    pairs = find_near_duplicates(views, options.duplicate_bits, options.duplicate_correlation)
    for group in connected_groups(pairs, len(stems)):
        members = [stems[index] for index in group]
        result.duplicate_groups.append(members)
        parts = sorted({part for stem in members if (part := result.parts.get(stem))})
        named = ", ".join(f"{stem} ({result.parts[stem]})" if parts else stem for stem in members)
        kind = "leak" if len(parts) > 1 else "duplicate"
        result.findings.append(Finding(kind, tuple(members), seen[group[0]].pair.image.name, named))
    result.duplicate_pairs = {(stems[i], stems[j]) for i, j in pairs}


def _compare_masks(result: CheckResult, options: CheckConfig) -> None:
    """Compares masks with each other's images, block by block, and the masks of near-duplicates with each other."""
    usable = [one for one in result.samples.values() if one.view is not None and one.is_varied]
    for start in range(0, len(usable), BLOCK_IMAGES):
        _compare_block(usable[start : start + BLOCK_IMAGES], result, options)
    swapped = {stem for swap in result.swaps for stem in swap}
    for first, second in sorted(result.duplicate_pairs):
        one, other = result.samples[first].mask_view, result.samples[second].mask_view
        if {first, second} & swapped or one is None or other is None:
            continue
        # In the best of all orientations: a flipped copy has a flipped mask.
        agreement = max(_soft_iou(one, turned) for turned in orientations(other))
        if agreement < options.mask_agreement:
            file = result.samples[first].pair.mask.name
            text = f"masks of {first} and {second}: IoU {agreement:.2f}"
            result.findings.append(Finding("contradiction", (first, second), file, text))


def _compare_block(block: Sequence[ExaminedPair], result: CheckResult, options: CheckConfig) -> None:
    if len(block) < MIN_IMAGES:
        result.detectability += [SwapDetectability(len(block), {}, 0.0)] if block else []
        return
    evidence = weigh_cues(fit_scores([one.view for one in block if one.view is not None],
                          [mask for one in block if (mask := one.comparison_mask) is not None]))  # fmt: skip
    scores = evidence.scores
    found = power(scores, options.swap_warning) if scores is not None else 0.0
    result.detectability.append(SwapDetectability(len(block), dict(zip(CUES, evidence.separation, strict=True)), found))
    if scores is not None:
        settled = _add_swaps(block, scores, result, options)
        _add_misfits(block, scores, settled, result, options)


def _add_swaps(
    block: Sequence[ExaminedPair], scores: np.ndarray, result: CheckResult, options: CheckConfig
) -> set[int]:
    """Adds swapped masks; returns their indices in the block."""
    settled = set[int]()
    for found in find_swaps(scores, options.swap_warning):
        one, other = block[found.first], block[found.second]
        stems = (one.pair.stem, other.pair.stem)
        if tuple(sorted(stems)) in result.duplicate_pairs:
            continue
        sizes = one.size != one.mask_size and one.size == other.mask_size and other.size == one.mask_size
        text = f"the masks of {stems[0]} and {stems[1]} fit better when exchanged ({_by_chance(found.chance)}"
        text += "; their sizes match then, too)" if sizes else ")"
        kind = "swapped" if sizes or found.chance < options.swap_error else "maybe_swapped"
        result.swaps.append(stems)
        result.findings.append(Finding(kind, stems, one.pair.mask.name, text))
        settled |= {found.first, found.second}
    return settled


def _add_misfits(
    block: Sequence[ExaminedPair], scores: np.ndarray, settled: set[int], result: CheckResult, options: CheckConfig
) -> None:
    """Adds masks that fit another image better than their own, and masks that fit their own image poorly."""
    place = {one.pair.stem: index for index, one in enumerate(block)}
    near = [(place[a], place[b]) for a, b in result.duplicate_pairs if a in place and b in place]
    for found in find_misfits(scores, options.misfit_warning, near):
        if found.second not in settled:
            image, mask = block[found.first].pair, block[found.second].pair
            text = f"fits {image.image.name} better than its own image ({_by_chance(found.chance)})"
            result.findings.append(Finding("misfit", (mask.stem, image.stem), mask.mask.name, text))
            settled = settled | {found.second}
    rest = [index for index in range(len(block)) if index not in settled]
    if len(rest) < MIN_IMAGES:
        return
    for index in find_poor_fits(scores[np.ix_(rest, rest)], options.misfit_share):
        mask = block[rest[index]].pair
        text = "fits its image no better than masks of other images do"
        result.findings.append(Finding("misfit", (mask.stem,), mask.mask.name, text))


def _by_chance(expected: float) -> str:
    return f"expected by chance in this data set: {expected:.1g}"


def _soft_iou(one: np.ndarray, other: np.ndarray) -> float:
    union = float(np.maximum(one, other).sum())
    return float(np.minimum(one, other).sum()) / union if union else 1.0
