"""The data a net is trained on: data sets, loading, augmentation."""
