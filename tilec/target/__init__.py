"""Room target."""
