"""Metrics in pure NumPy: confusion counts, boundaries, curves, calibration and intervals."""
