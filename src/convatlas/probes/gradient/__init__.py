"""Probes of the gradient of a score at the pixels."""
