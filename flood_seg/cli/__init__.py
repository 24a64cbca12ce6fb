"""The `flood-seg` command: the table of verbs, the guard before python-fire, help, completion, exit codes."""
