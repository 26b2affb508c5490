"""The drawing kit: shapes, colours and text, charts made of them, and the SVG and PNG files they become."""
