"""The engines that can run a net: one file each."""
