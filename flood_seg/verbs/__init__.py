"""The verbs, one module each: compose a configuration, call the packages below, report."""
