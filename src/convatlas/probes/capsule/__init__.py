"""Capsules: probes of routing, of agreement, and of what class capsules know of a photo."""
