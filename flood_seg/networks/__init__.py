"""Networks of segmentation-models-pytorch: build, starting weights, checkpoints, their backend."""
