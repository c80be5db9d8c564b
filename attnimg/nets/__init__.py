"""The nets: backbone and heads, pure `nn.Module`s that know nothing of files."""
