"""Hydra at the edge: compose, check against the schema, expand sweeps, build leaves."""
