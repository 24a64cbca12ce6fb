"""Training augmentation of raw samples."""
