"""Paths and bytes: find inputs, name outputs, write files. Standard library only."""
