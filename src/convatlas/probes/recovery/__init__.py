"""Probes that change the way back through ReLUs. They recover the image rather than explain the net."""
