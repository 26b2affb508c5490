"""The data to train on: data sets, loading, augmentation."""
