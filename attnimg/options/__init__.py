"""The options of commands, as plain dataclasses: Python takes them by name, the command line by flag."""
