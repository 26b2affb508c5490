"""Files that people and other programs write, which may be damaged or hostile."""
