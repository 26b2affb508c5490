"""Class activation maps: probes of the maps of one layer."""
