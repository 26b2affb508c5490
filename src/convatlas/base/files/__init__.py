"""Read files of people and other programs, which may be damaged or hostile."""
