"""Training: one plain loop, its recipes, its checkpoints, and the review's error table."""
