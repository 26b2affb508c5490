"""Galleries: pictures that probes make, and the sheets that they are drawn on."""
