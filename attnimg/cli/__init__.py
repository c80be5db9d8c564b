"""The commands: each parses, builds, runs and prints. Nothing here imports torch before a command runs."""
