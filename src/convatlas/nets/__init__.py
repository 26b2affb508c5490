"""The nets: one file for each family, and what all nets have in common."""
