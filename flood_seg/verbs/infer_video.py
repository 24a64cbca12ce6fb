"""`flood-seg infer` on a video file or a stream: an overlay video, and the share of each class over time."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import say, track, warn
from flood_seg.errors import ImageError, ModelError, UsageError
from flood_seg.files import atomic_path, check_suffix, check_writable, write_csv
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.display import class_colors
from flood_seg.imaging.video import CODECS, VideoReader, VideoWriter, is_stream
from flood_seg.inference.engines import open_backend
from flood_seg.inference.models import choose_model
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.rendering import Renderer
from flood_seg.inference.stages import Item, Stages

if TYPE_CHECKING:
    import numpy as np

    from flood_seg.config.schema import InferConfig, OutputConfig
    from flood_seg.imaging.video import Frame
    from flood_seg.spec import ModelSpec


@dataclass
class _FrameState(Item):
    """A frame on its way: one without a mask, a black one for example, stays as it is and has no shares."""

    frame: Frame
    overlay: np.ndarray | None = None
    shares: dict[str, float] | None = None


class _VideoStages(Stages[_FrameState]):
    carried = (ImageError,)

    def __init__(self, predictor: Predictor, output: OutputConfig) -> None:
        super().__init__(predictor)
        self._spec, self._renderer = predictor.spec, Renderer(predictor.spec, output)

    def decode(self, item: _FrameState) -> np.ndarray:
        return item.frame.image

    def conclude(self, item: _FrameState) -> None:
        (prediction,) = item.predictions
        item.overlay = self._renderer.overlay(item.frame.image, prediction.mask)
        item.shares = prediction.shares(self._spec.class_names)


Row = tuple[int, float, dict[str, float] | None]


def segment_video(
    config: InferConfig, model: str | None, source: str, out: Path | None = None, json: Path | None = None
) -> list[Path]:
    """Segments the frames of a video.

    Ctrl-C ends a stream: what was segmented until then is written.

    Args:
        config: backend, threshold, colours, and `video` with the stride and the number of frames.
        model: a file, or the address of a Triton server; None: the newest run's model, else the bundled one.
        source: a video file, or the address of a stream.
        out: the overlay video; None: `NAME_overlay.mp4` beside the file, or `stream_overlay.mp4`.
        json: not written for a video; None.

    Returns:
        the overlay video, the table and, where Matplotlib is installed, the plot.

    Raises:
        ImageError: the source cannot be opened, or holds no frame.
        ModelError: the model is not one of RGB images.
        OutputError: the results cannot be written.
        UsageError: an option that has no effect on a video.
    """
    _check_options(config, json)
    started, options = time.perf_counter(), config.video
    out = out or _beside(source)
    check_suffix(out, tuple(CODECS), "a video")
    check_writable(out, folder=False)
    if out.exists() and Path(source).exists() and out.samefile(source):
        raise UsageError(f"--out {out}: is the video itself; give another name")
    with closing(VideoReader(source)) as reader:
        model, origin = choose_model(model, config.output_dir)
        backend = open_backend(config.backend, model, config.warmup)
        say(f"Model {model} ({origin}), {backend.description}")
        predictor = Predictor(backend, config.threshold, config.value_scale)
        _check_rgb(predictor.spec, model)
        rows, stopped = _segment(source, reader, predictor, config, out)
    if all(shares is None for _, _, shares in rows):
        raise KeyboardInterrupt  # before the first mask
    if reader.count and options.max_frames is None and not stopped and reader.read < reader.count - 1:
        warn(f"{source}: ended after {reader.read} of {reader.count} frames; the rest cannot be decoded")
    files = [out, *_write_shares(out, rows, predictor.spec)]
    known = [shares for _, _, shares in rows if shares is not None]
    means = {name: sum(shares[name] for shares in known) / len(known) for name in predictor.spec.class_names[1:]}
    shares = ", ".join(f"{share:.1%} {name}" for name, share in means.items())
    seconds = time.perf_counter() - started
    say(f"{', '.join(map(str, files))}: {len(rows)} frames, {shares} on average, {len(rows) / seconds:.1f} frames/s")
    if stopped:
        raise KeyboardInterrupt
    return files


def _segment(
    source: str, reader: VideoReader, predictor: Predictor, config: InferConfig, out: Path
) -> tuple[list[Row], bool]:
    """Writes the overlay video; returns number, seconds and shares of each frame, and whether Ctrl-C ended it."""
    options = config.video
    rows: list[Row] = []
    failed: list[str] = []
    unusual, stopped = 0, False
    total = -(-reader.count // options.stride) if reader.count else options.max_frames
    frames = reader.frames(options.stride, options.max_frames)
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(out))
        writer = stack.enter_context(closing(VideoWriter(temporary, reader.fps / options.stride, reader.size)))
        segmented = _VideoStages(predictor, config.output).each(map(_FrameState, frames))
        try:
            for done in track(segmented, "Segmenting", total):
                writer.write(done.frame.image if done.overlay is None else done.overlay)
                rows.append((done.frame.number, done.frame.seconds, done.shares))
                unusual += done.shift > config.max_input_shift
                if done.error:
                    failed.append(f"frame {done.frame.number}: {done.error}")
        except KeyboardInterrupt:
            stopped = True
        if len(failed) == len(rows) and not stopped:
            reason = failed[0] if failed else "no frame can be decoded"
            raise ImageError(f"{source}: no frame could be segmented ({reason})")
    if failed:
        warn(f"{len(failed)} of {len(rows)} frames have no mask, the first is {failed[0]}")
    if unusual:
        warn(f"{unusual} of {len(rows)} frames have unusual values (input_shift above {config.max_input_shift:g})")
    return rows, stopped


def _write_shares(out: Path, rows: list[Row], spec: ModelSpec) -> list[Path]:
    """Writes the share of each class over time as CSV, and as a plot where Matplotlib is installed."""
    names, table, plot = spec.class_names[1:], out.with_suffix(".csv"), out.with_suffix(".png")
    columns = ("frame", "seconds", *(f"{name}_share" for name in names))
    cells = [
        (number, f"{seconds:.3f}", *(None if shares is None else f"{shares[name]:.6f}" for name in names))
        for number, seconds, shares in rows
    ]
    write_csv(table, columns, cells)
    if find_spec("matplotlib") is None:
        return [table]
    from flood_seg.plots.prediction import plot_shares

    curves = {name: [math.nan if shares is None else shares[name] for _, _, shares in rows] for name in names}
    return [table, plot_shares([seconds for _, seconds, _ in rows], curves, class_colors(spec)[1:], plot)]


def _check_options(config: InferConfig, json: Path | None) -> None:
    if config.output.probability or config.output.format != "png":
        raise UsageError(
            "output.probability and output.format: a video has neither masks nor probabilities; leave them out"
        )
    if json is not None:
        raise UsageError("--json: a video's shares are written as CSV beside the overlay video; leave it out")


def _beside(source: str) -> Path:
    if is_stream(source) or "://" in source:
        return Path("stream_overlay.mp4")
    return Path(source).with_name(f"{Path(source).stem}_overlay.mp4")


def _check_rgb(spec: ModelSpec, model: str) -> None:
    if not BandSelection.of(spec).is_photo:
        bands = ", ".join(spec.bands)
        raise ModelError(f"{model}: requires the bands {bands}; a video has red, green and blue in 8 bits")
