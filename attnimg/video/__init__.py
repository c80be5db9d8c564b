"""Videos: decode, transform and encode frame by frame."""
