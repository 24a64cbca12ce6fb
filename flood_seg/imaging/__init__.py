"""The torch-free leaf: decode, preprocess, postprocess, draw, write images."""
