"""tilec inside other libraries: a function with its gradient as an operation of theirs.

``tilec.interop.torch`` and ``tilec.interop.jax`` import their library when ``wrap`` is called.
"""
