"""From images to masks: Predictor, backends, which model and engine, test-time augmentation."""
