"""Plots and HTML pages, with one palette and one way to draw and save."""
