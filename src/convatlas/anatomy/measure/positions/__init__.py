"""How the positions of a map follow from those of another: windows, tokens, and what sees everything."""
