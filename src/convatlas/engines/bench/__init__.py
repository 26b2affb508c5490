"""Benchmark of nets in every engine, beside the same nets of other libraries and the machine's limit."""
