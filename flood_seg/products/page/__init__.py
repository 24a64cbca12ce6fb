"""The web map of a scene: one HTML file that needs no network."""
