"""Tools for data sets: checks, conversion, tiling, statistics, splits and overlays."""
