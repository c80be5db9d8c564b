"""Data sets: their files and the ground truth."""
