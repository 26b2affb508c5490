"""Training: one plain loop, its recipes, checkpoints and data."""
