"""Published weights: where they come from, and how they enter our nets."""
