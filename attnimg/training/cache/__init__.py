"""Decoded training images on disk, memory-mapped."""
