"""Serves models to others."""
