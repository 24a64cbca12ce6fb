"""Pages in a real browser."""

from tests.plots.conftest import browser, visit
from tests.scenes.conftest import smoothing_model

__all__ = ["browser", "smoothing_model", "visit"]
