"""The torch-free leaf: read, preprocess, postprocess, write."""
