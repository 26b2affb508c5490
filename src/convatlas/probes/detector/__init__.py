"""Probes of the boxes of a detector."""
