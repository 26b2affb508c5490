"""Published facts of each net: cards from data files, every figure with its source; imports without torch."""
