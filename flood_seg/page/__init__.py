"""HTML pages that hold all that they show."""
