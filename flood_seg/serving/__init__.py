"""Serves models with Triton."""
