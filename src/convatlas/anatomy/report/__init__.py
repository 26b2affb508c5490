"""What is said of measured nets: sentences, tables, comparisons, published figures beside measured ones."""
