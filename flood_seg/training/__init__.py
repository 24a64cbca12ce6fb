"""From batches to checkpoints: losses, LightningModule, callbacks, finders, runs."""
