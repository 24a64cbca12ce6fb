"""Inference: from an image to a mask, with any backend."""
