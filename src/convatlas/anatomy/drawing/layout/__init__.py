"""Where it is drawn: sketches as elements with widths, heights and lines between them."""
