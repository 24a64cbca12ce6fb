"""Experiment trackers, and all of a run's trackers as one Lightning logger."""
