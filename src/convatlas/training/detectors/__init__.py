"""Train detectors: photos with boxes, their augmentation, and the precision of what a net detects."""
