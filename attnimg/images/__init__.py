"""Pixels of one image file: decode, convert and encode. No torch here."""
