"""Rules by which relevance goes back through ATen operations, looked up by the operation's name."""
