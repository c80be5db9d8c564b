"""attnimg: classify, segment and enhance whole folders of images with attention CNNs, and see where each net looked."""

__version__ = "0.1.0"
