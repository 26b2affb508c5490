"""Photos in, with Pillow and numpy alone: decoding, folders, preprocessing, class names, samples."""
