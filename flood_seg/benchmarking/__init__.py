"""Engines against each other: agreement (verify), accuracy and speed (benchmark)."""
