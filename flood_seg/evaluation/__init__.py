"""Evaluation of a model against ground truth, per image and over all images, and its report."""
