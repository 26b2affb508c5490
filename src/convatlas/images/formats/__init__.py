"""What formats of photos need beyond Pillow: names for those that are not read, and pixels that Pillow gets wrong."""
