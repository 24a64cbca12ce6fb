"""Scenes from public catalogues: searches a STAC API and reads the area of interest of its files."""
