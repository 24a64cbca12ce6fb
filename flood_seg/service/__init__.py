"""The REST service: predictions, jobs, a page with a map, monitoring."""
