"""The nets, one file a family: a table of rows that reads like the paper's, and one short class."""
