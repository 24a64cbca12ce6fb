"""Baseline of `infer`: minimal Python that segments photo.jpg, with OpenCV and ONNX Runtime only."""

import json
import sys

import cv2
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
spec = json.loads(session.get_modelmeta().custom_metadata_map["flood_seg.spec"])
image = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)
small = cv2.resize(image, (spec["width"], spec["height"]), interpolation=cv2.INTER_AREA)
batch = ((small / spec["value_scale"] - spec["mean"]) / spec["std"]).astype(np.float32).transpose(2, 0, 1)[None]
logits = session.run(None, {"input": batch})[0][0, 0]
large = cv2.resize(logits, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
cv2.imwrite("bare.png", (large > 0).astype(np.uint8) * 255)
