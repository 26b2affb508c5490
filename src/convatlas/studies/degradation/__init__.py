"""The study "degradation": deep plain nets get a higher training error than shallow ones, residual nets do not."""
