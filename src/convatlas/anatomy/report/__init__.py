"""Reports on measured nets: sentences, tables, comparisons, published figures beside measured ones."""
