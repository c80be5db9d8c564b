"""The enhancer: exposure estimation, and restoration of the brightened photo."""
