"""What reaches a terminal: text with nothing that a terminal would obey, and no remarks of libraries."""
