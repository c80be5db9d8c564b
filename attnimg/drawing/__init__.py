"""Visualizations: attention overlays, previews of masks, comparisons, cut-outs."""
