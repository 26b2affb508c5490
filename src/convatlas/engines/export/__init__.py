"""Export nets to files that other programs read."""
