"""Data sets in the formats of other tools, both ways: COCO, CVAT for images, MMSegmentation."""
