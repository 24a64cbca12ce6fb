"""Large images cut into tiles, and predictions of tiles put back together."""
