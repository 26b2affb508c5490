"""The families of nets: one file each, a table of variants and one short class."""
