"""Schedules as values, and the cost model that chooses them."""
