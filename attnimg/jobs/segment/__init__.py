"""Segmentation of a batch of photos."""
