"""The application without a terminal: one command over all its inputs, as a library."""
