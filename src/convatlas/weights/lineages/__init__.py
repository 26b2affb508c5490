"""Publishers of weights, one module each: its name is that of the publisher's table in the catalogue."""
