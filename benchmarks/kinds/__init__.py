"""Kinds of rows. A module here has one function, ``case(row)``, and is found by its name."""
