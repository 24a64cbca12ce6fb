"""Experiment trackers: where a run's parameters, metrics and files are kept to be compared with other runs'."""
