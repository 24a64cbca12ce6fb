"""Draws the README's picture: a synthetic scene beside the water that a model found in it.

python docs/draw.py MODEL PHOTO   (make pictures does it with what make demo made)
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from flood_seg.files import atomic_path
from flood_seg.imaging.decode import read_photo
from flood_seg.imaging.display import draw_overlay
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.predictor import Predictor

model, photo = Path(sys.argv[1]), read_photo(Path(sys.argv[2]))[0]
mask = Predictor(OnnxRuntimeBackend(model)).predict(photo).mask
overlay = draw_overlay(photo, mask, (30, 144, 255), 0.45, (255, 235, 59))
gap = np.full((photo.shape[0], 8, 3), 255, np.uint8)
with atomic_path(Path(__file__).parent / "images" / "overlay.jpg") as temporary:
    pixels = cv2.cvtColor(np.hstack([photo, gap, overlay]), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(temporary), pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])
