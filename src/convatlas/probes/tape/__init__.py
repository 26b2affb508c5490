"""The tape of a net: all ATen operations from the photo to the target, and ways to run it forwards and backwards."""
