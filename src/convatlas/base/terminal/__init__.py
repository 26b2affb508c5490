"""Output to a terminal, without control characters from files and without warnings of libraries."""
