"""A model against truth: per image and over all images, and the report."""
