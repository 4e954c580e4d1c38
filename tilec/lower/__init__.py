"""Room lower."""
