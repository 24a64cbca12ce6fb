"""Training: losses, LightningModule, callbacks, checkpoints, tuners and run folders."""
