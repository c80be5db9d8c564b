"""What each task adds to the training loop."""
