"""Class-id masks: files, regions, polygons and run lengths."""
