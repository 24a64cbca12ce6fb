"""What is made of a segmented scene: raster layers, polygons, figures, a web map."""
