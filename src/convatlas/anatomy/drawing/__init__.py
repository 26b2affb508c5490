"""Pictures of a net, laid out once and written as SVG or PNG: the same bytes on every machine."""
