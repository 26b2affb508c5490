"""Time nets in every engine, beside their peers and the limits of the machine."""
