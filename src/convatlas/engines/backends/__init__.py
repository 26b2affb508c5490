"""Engines that can run a net: one module each, found by listing this folder; its name is the engine's."""
