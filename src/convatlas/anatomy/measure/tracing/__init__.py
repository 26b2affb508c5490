"""Trace a net: run a copy of its structure once, and record the operations."""
