"""From files to batches: layouts, pairing, labels, windows, cache, split, augmentation."""
