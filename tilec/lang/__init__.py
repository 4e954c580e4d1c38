"""Room lang."""
