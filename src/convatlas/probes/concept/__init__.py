"""Probes of concepts: what directions in a layer stand for."""
