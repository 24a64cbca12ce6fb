"""Figures and HTML pages: one palette, one way to draw and to save."""
