"""The stream that carries images from source to record."""
