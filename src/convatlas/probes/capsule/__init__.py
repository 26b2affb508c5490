"""Probes of capsules and their routing."""
