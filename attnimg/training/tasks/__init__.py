"""The tasks of the training loop, and their trainers."""
