"""Pixels and files: find the inputs, place the outputs, read, write and draw. No torch here."""
