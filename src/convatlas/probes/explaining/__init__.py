"""What `explain` does before and after the probes run: open the net and its engine, and make the records."""
