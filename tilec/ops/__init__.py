"""The op library: operations on tensors, each a short Tile program with a typed face."""
