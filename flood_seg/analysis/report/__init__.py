"""A situation report on a flood: what the analyses have found, for people who decide, on two pages."""
