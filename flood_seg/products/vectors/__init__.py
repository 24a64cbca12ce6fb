"""The polygons of a scene: traced from its mask, measured, simplified and written as vector layers."""
