"""The `flood-seg` command."""
