"""Drawings of measured nets, and the family tree."""
