"""The study "errors": the review's table of test errors on MNIST."""
