"""Writes self-contained HTML pages, with styles, script and images embedded.

Their Content-Security-Policy forbids all external requests.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from flood_seg.files import write_text
from flood_seg.imaging.preprocess import shrink
from flood_seg.plots.figure import save_figure
from flood_seg.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    Draw = Callable[[Figure], None]

JPEG_QUALITY = 82


def encode_thumbnail(image: np.ndarray, longest: int) -> bytes:
    """Shrinks an image, uint8 [H, W, 3] RGB, to at most `longest` pixels on its longer side; returns a JPEG."""
    pixels = cv2.cvtColor(shrink(image, longest), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()


def data_uri(content: bytes, kind: str = "image/jpeg") -> str:
    """Returns a data URI, the source of an `img` element."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def chart(draw: Draw, height: float = 4.0, *, fitted: bool = False) -> str:
    """Returns a chart as SVG in a data URI.

    Args:
        draw: draws on an empty Matplotlib figure.
        height: in inches.
        fitted: whether margins are fitted to long labels, which takes three times as long as fixed margins.
    """
    from matplotlib import rc_context

    # Text in the reader's own sans-serif font takes a tenth of the bytes of outlines.
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}):
        drawn = io.BytesIO()
        _figure_of(draw, height, fitted=fitted).savefig(drawn, format="svg", metadata={"Date": None})
    return data_uri(drawn.getvalue(), "image/svg+xml")


def write_chart(path: Path, draw: Draw) -> None:
    """Writes a chart as PNG; `draw` is as in `chart`."""
    save_figure(_figure_of(draw, 4.0, fitted=True), path, dpi=130)


def _figure_of(draw: Draw, height: float, *, fitted: bool) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), layout="constrained" if fitted else None)
    if not fitted:
        figure.subplots_adjust(0.11, 0.55 / height, 0.98, 1 - 0.12 / height)
    draw(figure)
    return figure


def write_page(path: Path, template: str, **content: Any) -> None:
    """Renders a template of `plots/templates/` and writes the page.

    Raises:
        OutputError: the file cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("flood_seg.plots"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": _percent, "number": _number}
    text = environment.get_template(template).render(version=__version__, **content)
    write_text(path, text)


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{share:.{digits}%}"


def _number(value: Any, digits: int = 4) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
