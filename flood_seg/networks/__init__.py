"""Networks of segmentation-models-pytorch: building, starting weights, checkpoints, and their backend."""
