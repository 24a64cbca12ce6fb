"""Segmentation of scenes, rasters of any size: windows, blending, blocks of work, resumption."""
