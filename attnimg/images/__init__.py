"""Pixels of one image file: decode, convert and encode, without torch."""
