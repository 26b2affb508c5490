"""The components a net is built from: one file a gene, and `genome.py`, which chooses among them."""
