"""Where photos were taken: what is written of it beside their masks."""
