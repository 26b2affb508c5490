"""Nets as files that other programs read."""
