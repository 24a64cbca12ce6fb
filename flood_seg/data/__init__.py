"""From files to samples: pairing, checks, splits, augmentation, the datamodule."""
