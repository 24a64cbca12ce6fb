"""Metrics in NumPy: confusion counts, boundaries, threshold curves, calibration, confidence intervals."""
