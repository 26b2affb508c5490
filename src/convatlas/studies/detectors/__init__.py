"""The study "detectors": small detectors trained on digits among strokes and scribbles."""
