"""The publishers of weights: one file describes each, the others read its file format and its layer names."""
