"""Training: data, augmentation, one loop for every task, recipes."""
