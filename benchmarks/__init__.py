"""Measures tilec: kernels against the machine and other libraries, start-up, threads, mathematics.

``python -m benchmarks`` runs sets of shapes; the modules beside it measure one thing each.
"""
