"""The enhancer: exposure estimation, a prior over exposures, and restoration of the brightened photo."""
