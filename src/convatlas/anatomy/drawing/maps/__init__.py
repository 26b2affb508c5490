"""The picture in boxes: stacks of maps and vectors, as LeNet-5 was drawn."""
