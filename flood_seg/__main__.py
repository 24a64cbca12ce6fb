"""`python -m flood_seg` is `flood-seg`."""

from flood_seg.cli import main

main()
