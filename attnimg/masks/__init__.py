"""Class-id masks: regions, polygons and run lengths."""
