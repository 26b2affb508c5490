"""Measure a net: trace one forward pass; count parameters, depth and MACs; follow the receptive field."""
