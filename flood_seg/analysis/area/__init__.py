"""How much is flooded, and how sure that is."""
