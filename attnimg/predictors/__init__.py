"""Predictors: preprocessing, a net, results. They know nothing of files."""
