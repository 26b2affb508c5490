"""Pictures of a net on one photo: receptive fields, feature maps, kernels, and how one number is computed."""
