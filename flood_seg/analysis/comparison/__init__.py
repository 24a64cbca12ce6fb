"""Layers that are made of finished masks and of something else: earlier maps, permanent water, clouds, other dates."""
