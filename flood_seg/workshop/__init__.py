"""Tools for data sets: check, convert, tile, split, statistics, overlays, download."""
