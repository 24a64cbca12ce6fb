"""What infer reports beside its masks: a line per image or a summary, warnings, and the report in JSON."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flood_seg.console import counted, say, warn
from flood_seg.errors import FloodSegError, OutputError, PartialFailureError
from flood_seg.files import write_json
from flood_seg.imaging.source import is_raster
from flood_seg.inference.values import unusual_values
from flood_seg.skipped import EVERY, NAMED, LeftOut

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from flood_seg.imaging.optional import OptionalBands
    from flood_seg.imaging.source import ImageInput
    from flood_seg.inference.files import Job
    from flood_seg.inference.segment import ImageState
    from flood_seg.inference.stages import Item

UNUSUAL, REDUCED = "have unusual values", "are much larger than the network's input"  # kinds of warnings
MAX_REDUCTION = 4.0  # of a raster to the network's size, without a warning


class Report:
    """Collects the result of each image.

    As a context manager it writes the JSON in the end, also where the work is stopped by an error or Ctrl-C: then the
    JSON says why, and a line on stderr how to continue.

    with Report(path, head, jobs, images, max_shift=2.0, network=(384, 384)) as report:
        report.add(image)
    report.conclude(seconds)
    """

    def __init__(
        self, path: Path | None, head: dict[str, Any], jobs: list[Job], images: list[ImageState], max_shift: float,
        network: tuple[int, int], optional: OptionalBands | None = None,
    ) -> None:  # fmt: skip
        """Takes the subject of the report.

        Args:
            path: of the JSON; None: it is not written.
            head: the entries on the model.
            jobs: all images.
            images: those whose files are not there already; reported are the ones that have been written until then.
            max_shift: the `input_shift` above which a warning is given.
            network: height and width of the network's input, in pixels.
            optional: bands that the model may miss; None: none.
        """
        self._path, self._jobs, self._images = path, jobs, images
        self._max_shift, self._network, self._optional = max_shift, network, optional
        self._head = head | {"skipped": len(jobs) - len(images)}
        self._left_out = LeftOut(f"{path} lists each under failed" if path else f"--json FILE lists each, or {EVERY}")
        self._records, self._failures = list[dict[str, Any]](), list[FloodSegError]()
        self._warnings: dict[str, list[str]] = {UNUSUAL: [], REDUCED: []}

    def __enter__(self) -> Report:
        return self

    def add(self, image: ImageState) -> None:
        """Adds an image that has passed all stages."""
        if image.error:
            self._failures.append(image.error)
            if len(self._jobs) > 1:
                self._left_out.add(str(image.job.image), str(image.error), str(image.error))
            return
        for kind, text in find_warnings(image, image.job.image, self._network, self._max_shift).items():
            self._warnings[kind].append(f"{image.job.image}: {text}")
        if len(self._jobs) == 1:
            say(_line(describe(image, self._optional)))
            if self._optional and image.missing:
                say(f"without {self._optional.describe(image.missing)}, which the model was trained to miss")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left_out.__exit__(kind, error, trace)
        if error is None:
            self._write(None)
            return
        with suppress(OutputError):
            self._write("interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__)
        if len(self._images) > 1:
            done = f"{len(self._records)} of {len(self._images)} images are done"
            warn(f"{done}; the same command with skip_existing=true continues")

    def _write(self, stopped: str | None) -> None:
        self._records = [describe(image, self._optional) for image in self._images if image.finish_seconds is not None]
        if self._path:
            warnings = [line for lines in self._warnings.values() for line in lines]
            lists = {"images": self._records, "failed": [str(one) for one in self._failures], "warnings": warnings}
            write_json(self._path, self._head | lists | {"stopped": stopped})

    def conclude(self, seconds: float) -> None:
        """Warns of images with unusual values and writes a summary.

        Raises:
            FloodSegError: the only image has failed; its error.
            PartialFailureError: some of several have.
        """
        for kind, lines in self._warnings.items():
            for line in lines[:NAMED]:
                warn(line)
            if len(lines) > NAMED:
                warn(f"{len(lines)} of {counted(len(self._jobs), 'image')} {kind}; --json lists them all")
        failed, skipped = len(self._failures), self._head["skipped"]
        if len(self._jobs) == 1:
            if failed:
                raise self._failures[0]
            if skipped:
                say(f"{self._jobs[0].mask}: skipped, the mask exists (skip_existing=true)")
            return
        folder = os.path.commonpath([job.mask.parent for job in self._jobs])
        passed = f", {skipped} skipped (skip_existing=true)" if skipped else ""
        if self._records:
            shares = _shares(self._records)
            say(f"{folder}: {len(self._records)} masks, {shares} on average{passed}, {seconds:.1f} s")
            done = [image.missing for image in self._images if image.finish_seconds is not None]
            for what, count in self._optional.count(done).items() if self._optional else ():
                say(f"{counted(count, 'image')} without {what}, which the model was trained to miss")
        elif skipped:
            say(f"{folder}: 0 masks{passed}")
        if failed:
            raise PartialFailureError(f"{failed} of {len(self._jobs)} images have no mask, see above; the rest is done")


def find_warnings(
    image: Item, content: ImageInput, network: tuple[int, int], max_shift: float
) -> dict[str, str]:  # fmt: skip
    """Returns what is odd about an image that has passed all stages, by the kind of warning.

    Args:
        image: that has passed them.
        content: its file or bytes.
        network: height and width of the network's input, in pixels.
        max_shift: the `input_shift` above which a warning is given.
    """
    found = {}
    if image.shift > max_shift:
        found[UNUSUAL] = unusual_values(image.shift, max_shift)
    factor = max(side / own for side, own in zip(image.size, network, strict=True))
    if factor > MAX_REDUCTION and is_raster(content):
        found[REDUCED] = (
            f"{image.size[1]}×{image.size[0]} is reduced {factor:.0f} times to the network's size; flood-seg map "
            "segments scenes by windows"
        )
    return found


def describe(image: ImageState, optional: OptionalBands | None = None) -> dict[str, Any]:
    """Returns the record of an image for the JSON; with its inputs where some may be missing."""
    seconds = {"read": image.read_seconds, "predict": sum(image.run_seconds), "write": image.finish_seconds or 0.0}
    seconds["total"] = sum(seconds.values())
    # The key of the first releases, for models that have a class of that name; reports of others do not carry it.
    water = {"water_share": image.shares["water"]} if "water" in image.shares else {}
    return {
        "image": str(image.job.image),
        "mask": str(image.job.mask),
        "overlay": str(image.job.overlay) if image.overlaid else None,
        "probability": str(image.job.probability) if image.job.probability else None,
        "width": image.size[1],
        "height": image.size[0],
        "foreground_share": sum(image.shares.values()),
        "shares": image.shares,
        **water,
        "nodata_share": image.nodata_share,
        "input_shift": round(image.shift, 3),
        **(optional.record(image.missing) if optional else {}),
        "milliseconds": {name: round(value * 1e3, 2) for name, value in seconds.items()},
    }


def _line(record: dict[str, Any]) -> str:
    size = f"{record['width']}×{record['height']}"
    files = ", ".join(record[name] for name in ("mask", "overlay", "probability") if record[name])
    took = record["milliseconds"]["total"]
    unseen = f", {record['nodata_share']:.1%} without data" if record["nodata_share"] else ""
    return f"{files}: {size}, {_shares([record])}{unseen}, {took:.0f} ms"


def _shares(records: list[dict[str, Any]]) -> str:
    names = records[0]["shares"]
    means = {name: sum(record["shares"][name] for record in records) / len(records) for name in names}
    return ", ".join(f"{mean:.1%} {name}" for name, mean in means.items())
