"""The data overlay verb: draws masks over their images, with a legend, and contact sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flood_seg.classes import IGNORED, Color, to_rgb
from flood_seg.config.schema import DataConfig
from flood_seg.config.schema.workshop import OverlayConfig
from flood_seg.console import counted, say
from flood_seg.data.layout import choose_pairs
from flood_seg.data.pairing import Pair
from flood_seg.data.parallel import read_pairs
from flood_seg.data.prepare import prepare_data
from flood_seg.data.reading import SampleReader, resize_mask
from flood_seg.errors import FindingsError
from flood_seg.files import check_writable
from flood_seg.imaging.display import class_colors, difference_legend, draw_classes, draw_difference, to_picture
from flood_seg.imaging.preprocess import resize_image, shrink, shrunk
from flood_seg.imaging.write import write_image
from flood_seg.metrics.confusion import confusion_matrix, image_ious
from flood_seg.skipped import EVERY

if TYPE_CHECKING:
    from flood_seg.inference.predictor import Predictor

GAP_PIXELS, WHITE, INK = 6, (255, 255, 255), (26, 39, 51)


@dataclass(frozen=True)
class OverlayPicture:
    """A sample's picture, uint8 [H, W, 3] RGB, and its caption."""

    stem: str
    picture: np.ndarray
    caption: str


def overlay(data: DataConfig, task: str, options: OverlayConfig, out: Path, predictor: Predictor | None = None) -> None:
    """Writes `<stem>.jpg` a sample and `sheet_1.jpg`, ...

    Args:
        data: the data set.
        task: `binary` or `multiclass`; of no account with a model, which has its own.
        options: how many samples, their part and their size.
        out: folder of the pictures.
        predictor: of a model, whose predictions and differences from the truth are drawn beside it.

    Raises:
        DataError: a folder is missing or empty.
        FindingsError: a sample could not be drawn; the others are.
    """
    check_writable(out)
    prepare_data(data)
    pairs = choose_pairs(data, options.part)
    chosen = pairs[:: max(1, len(pairs) // options.count)][: options.count] if options.count else pairs
    drawer = _Drawer(data, task, options, predictor)
    longest = options.thumbnail * (2 if predictor else 1)  # three panels side by side
    small = list[OverlayPicture]()
    for _, drawn in read_pairs(chosen, drawer.draw, "Drawing", threads=1 if predictor else 4, listing=EVERY):
        write_image(out / f"{drawn.stem.replace('/', '_')}.jpg", with_legend(drawn, drawer.legend))
        small.append(OverlayPicture(drawn.stem, shrink(drawn.picture, longest), drawn.caption))
    many = options.columns * options.rows
    sheets = [small[start : start + many] for start in range(0, len(small), many)]
    for number, several in enumerate(sheets, 1):
        write_image(out / f"sheet_{number}.jpg", contact_sheet(several, options.columns, drawer.legend))
    say(f"{out}: {counted(len(small), 'picture')} and {counted(len(sheets), 'contact sheet')}")
    if left := len(chosen) - len(small):
        raise FindingsError(f"{left} of {len(chosen)} samples could not be drawn, see above; the rest is done")


class _Drawer:
    """Draws samples, with a model's prediction or without."""

    def __init__(self, data: DataConfig, task: str, options: OverlayConfig, predictor: Predictor | None) -> None:
        self._options, self._predictor = options, predictor
        if predictor:
            self._reader = SampleReader.for_model(data, predictor.spec)
            self._colors = class_colors(predictor.spec)
            self.legend: Mapping[str, Color] = difference_legend(predictor.spec.class_names)
        else:
            self._reader = SampleReader.of(data, task)
            classes = self._reader.classes
            self._colors = [to_rgb(color) for color in classes.colors]
            self.legend = dict(zip(classes.names[1:], self._colors[1:], strict=True))

    def draw(self, pair: Pair) -> OverlayPicture:
        """Draws a pair.

        Raises:
            ImageError: it cannot be read, or the model cannot take it.
            LogitsError: the model answers NaN or infinity.
        """
        image, mask = self._reader.load(pair)
        height, width = shrunk(mask.shape, self._options.size)
        picture = to_picture(resize_image(image, height, width), self._reader.bands.names)
        truth, opacity = resize_mask(mask, height, width), self._options.opacity
        panels = [draw_classes(picture, truth, self._colors, opacity, None)]
        if self._predictor is None:
            share = ((mask > 0) & (mask != IGNORED)).sum() / max((mask != IGNORED).sum(), 1)
            return OverlayPicture(pair.stem, panels[0], f"{share:.0%}")
        spec, predicted = self._predictor.spec, self._predictor.predict(image).mask
        found = resize_mask(predicted, height, width)
        panels.append(draw_classes(picture, found, self._colors, opacity, None))
        panels.append(draw_difference(picture, truth, found, opacity))
        matrix = confusion_matrix(predicted, mask, len(spec.class_names))
        return OverlayPicture(pair.stem, _beside(panels), f"IoU {image_ious(matrix[None], spec.task)[0]:.3f}")


def _beside(panels: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((panels[0].shape[0], GAP_PIXELS, 3), 255, np.uint8)
    return np.hstack([part for panel in panels for part in (gap, panel)][1:])


def with_legend(drawn: OverlayPicture, legend: Mapping[str, Color]) -> np.ndarray:
    """Returns the image with its name and a legend below, uint8 [H + some, W, 3] RGB."""
    size = max(14, min(32, drawn.picture.shape[1] // 45))
    strip = _strip(drawn.picture.shape[1], size, f"{drawn.stem}  {drawn.caption}", legend)
    return np.vstack([drawn.picture, strip])


def _strip(width: int, size: int, title: str, legend: Mapping[str, Color]) -> np.ndarray:
    """Draws a line of text, and as many lines of swatches as are wanted."""
    font = ImageFont.load_default(size)
    widths = [round(font.getlength(name)) + 3 * size for name in legend]
    places, left, line = [], size // 2, int(bool(title))
    for wide in widths:
        if left > size and left + wide > width:
            left, line = size // 2, line + 1
        places.append((left, line))
        left += wide
    height = round(size * 1.6)
    canvas = Image.new("RGB", (width, height * (line + bool(legend))), WHITE)
    draw = ImageDraw.Draw(canvas)
    draw.text((size // 2, height // 8), _fitted(title, font, width - size), INK, font)
    for (name, color), (x, row) in zip(legend.items(), places, strict=True):
        top = row * height + height // 8
        draw.rectangle((x, top + size // 6, x + size, top + size), color)
        draw.text((x + size * 1.4, top), name, INK, font)
    return np.asarray(canvas)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    while len(text) > 4 and font.getlength(text) > width:
        text = f"{text[: len(text) // 2 - 1]}…{text[len(text) // 2 + 1 :]}"
    return text


def contact_sheet(samples: Sequence[OverlayPicture], columns: int, legend: Mapping[str, Color]) -> np.ndarray:
    """Puts thumbnails side by side, each with its name, and the legend below all, uint8 [H, W, 3] RGB."""
    cells = [np.vstack([one.picture, _strip(one.picture.shape[1], 14, f"{one.stem}  {one.caption}", {})])
             for one in samples]  # fmt: skip
    columns, width = min(columns, len(cells)), max(cell.shape[1] for cell in cells) + GAP_PIXELS
    lines = []
    for start in range(0, len(cells), columns):
        row = cells[start : start + columns]
        line = np.full((max(cell.shape[0] for cell in row) + GAP_PIXELS, columns * width, 3), 255, np.uint8)
        for place, cell in enumerate(row):
            line[: cell.shape[0], place * width : place * width + cell.shape[1]] = cell
        lines.append(line)
    return np.vstack([*lines, _strip(columns * width, 18, "", legend)])
