"""Synthetic flood scenes."""
