"""Pictures for people: overlays, previews, comparisons, cut-outs."""
