"""Triton: the model repository, the container, the embedded server and its life cycle."""
