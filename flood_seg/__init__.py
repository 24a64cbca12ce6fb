"""flood-seg: segmentation models that find water on drone, aerial and satellite images."""

__version__ = "0.1.0"
