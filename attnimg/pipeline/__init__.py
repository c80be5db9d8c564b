"""The stream that carries images from their source to their record."""
