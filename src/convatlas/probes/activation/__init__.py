"""Probes that show what units and layers respond to."""
