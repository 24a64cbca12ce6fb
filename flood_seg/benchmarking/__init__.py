"""Engines against each other: agreement, speed and load."""
