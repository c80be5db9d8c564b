"""Decoding in child processes, so that a crash or a hang costs one image."""
