"""The structure of a measured net: its wiring, its stages and blocks, its DNA."""
