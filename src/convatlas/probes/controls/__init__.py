"""Controls: maps that know nothing of the net, to hold the others against."""
