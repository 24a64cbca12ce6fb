"""`python -m flood_seg` is `flood-seg`."""

from flood_seg.cli.main import main

if __name__ == "__main__":  # not where multiprocessing imports this module anew
    main()
