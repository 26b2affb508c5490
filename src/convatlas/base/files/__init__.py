"""Files that people and other programs write."""
