"""The families of nets: one file each, with a table of variants and one short class."""
