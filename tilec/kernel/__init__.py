"""The kernel IR: how a thing is computed, apart from any target."""
