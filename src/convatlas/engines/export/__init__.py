"""Write a net to a file that other programs read."""
