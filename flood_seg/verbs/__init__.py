"""The verbs of the command, one module each: the top layer, which composes all others."""
