"""The verbs: compose a configuration, call the packages below, report."""
