"""CapsNet, its baseline and matrix capsules on MNIST, and CapsNet on pairs of overlapping digits."""
