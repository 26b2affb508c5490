"""Probes that share a score among the pixels, operation by operation."""
