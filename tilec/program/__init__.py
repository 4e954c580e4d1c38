"""Room program."""
