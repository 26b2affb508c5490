"""Pictures: shapes, fonts, colours, and the SVG and PNG they become."""
