"""The picture in blocks: a card for each stage, below one another on a page."""
