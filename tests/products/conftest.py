"""The model of the scenes' tests."""

from tests.scenes.conftest import smoothing_model

__all__ = ["smoothing_model"]
