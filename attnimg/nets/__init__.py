"""Nets: backbone and heads, as plain `nn.Module`s without file access."""
