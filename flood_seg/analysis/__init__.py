"""Answers from finished maps: what has changed, how much is under water, and whom it affects."""
