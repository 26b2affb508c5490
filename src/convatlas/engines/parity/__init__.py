"""Compare the outputs of engines and files with the net's own in PyTorch's eager mode."""
