"""Paths and bytes: find inputs, name outputs, write files. It needs the standard library only."""
