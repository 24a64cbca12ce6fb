"""Copies a data set with images downscaled to a maximum side length: shrink.py SOURCE TARGET PIXELS."""

import sys
from pathlib import Path

import cv2

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig
from flood_seg.data.pairing import find_pairs
from flood_seg.data.reading import SampleReader, resize_mask
from flood_seg.errors import ImageError
from flood_seg.files import atomic_path
from flood_seg.imaging.preprocess import resize_image
from flood_seg.imaging.write import write_image

reader = SampleReader.of(defaults(DataConfig), "binary")
source, target, longest = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for pair in find_pairs(source / "images", source / "masks")[0]:
    try:
        image, mask = reader.load(pair)
    except ImageError as error:
        print(f"{pair.stem}: skipped, {error}")
        continue
    scale = min(1.0, longest / max(image.shape[:2]))
    height, width = (round(side * scale) for side in image.shape[:2])
    write_image(target / "masks" / f"{pair.stem}.png", resize_mask(mask, height, width) * 255)
    with atomic_path(target / "images" / f"{pair.stem}.jpg") as temporary:
        pixels = cv2.cvtColor(resize_image(image, height, width), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(temporary), pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])
