"""Measured times of nets in every engine, beside their peers and the machine's limit."""
