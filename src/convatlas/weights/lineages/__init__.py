"""Publishers of weights, one module each, named like the publisher's table in the catalogue."""
