"""The engines that can run a net: one file each, which is found by being here; the file's name is the engine's."""
