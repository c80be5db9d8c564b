"""Data sets: which files are in them, and what is true of each."""
