"""Enhancement of a batch of photos and videos."""
