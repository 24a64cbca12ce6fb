"""flood-seg: segmentation models that find water on drone, aerial and satellite images."""

from flood_seg.version import __version__

__all__ = ["__version__"]
