"""Metrics in pure NumPy: confusion counts, boundaries, curves, calibration, intervals."""
