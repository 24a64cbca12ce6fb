"""Engines that turn an input batch into logits, one a file."""
