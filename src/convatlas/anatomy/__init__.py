"""What is measured of a net: its operations, shapes, parameters, depth, arithmetic, receptive field."""
