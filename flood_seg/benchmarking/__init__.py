"""Comparison of engines: agreement (verify), accuracy and speed (benchmark)."""
