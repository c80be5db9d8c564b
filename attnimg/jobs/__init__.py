"""The application without a terminal: a task run on all its inputs, as a library."""
