"""The components a net is built from; `loci.py` lists them and `genome.py` chooses among them."""
