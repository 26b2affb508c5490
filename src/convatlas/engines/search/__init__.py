"""Search for the engine and options that run a net fastest, and try them again when it next starts."""
