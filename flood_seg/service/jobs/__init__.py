"""Scenes as jobs: their records, their queue, and the processes that run them."""
