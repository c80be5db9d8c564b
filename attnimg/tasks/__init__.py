"""The predictors: Kornia preprocessing, a net, results. They know nothing of files."""
