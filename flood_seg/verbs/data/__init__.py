"""The verbs of `flood-seg data`."""
