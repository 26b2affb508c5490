"""Data sets to train on, their batches and their augmentation."""
