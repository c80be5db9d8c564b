"""The measurement of each task's models on a data set."""
