"""Classification of a batch of images."""
