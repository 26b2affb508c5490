"""Section V: probes, which explain what a net saw in a photo."""
