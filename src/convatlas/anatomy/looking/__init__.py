"""Looking at a photo through a net: what a unit sees, what maps and kernels hold, how one number comes about."""
