"""Hydra at the edge: composing, checking and building."""
