"""From a checkpoint to an artefact that runs elsewhere."""
