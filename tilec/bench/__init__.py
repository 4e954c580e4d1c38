"""``tilec bench``: networks and single operations, timed in tilec and in other engines."""
