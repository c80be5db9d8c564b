"""The terminal: streams, progress, tables, exit status."""
