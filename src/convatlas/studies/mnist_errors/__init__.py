"""The review's table of test errors on MNIST, reproduced."""
