"""Predictors: arrays in, results out, by preprocessing and a net. They do not handle files."""
