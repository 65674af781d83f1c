"""What lowerings share: cells of pixels, coordinates, windows and layouts, as nodes."""
