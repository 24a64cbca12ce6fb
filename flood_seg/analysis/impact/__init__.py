"""Whom a flood affects: roads, buildings, people, and places that are cut off."""
