"""What is published of each net: cards made from data files, every figure with its source (imports without torch)."""
