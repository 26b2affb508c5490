"""The same net run fast: other engines, other precisions, other files; each checked against PyTorch's eager mode."""
