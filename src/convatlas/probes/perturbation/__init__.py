"""Probes that hide parts of the photo and watch the scores; the net is a black box."""
