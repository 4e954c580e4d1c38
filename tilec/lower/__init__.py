"""From the tensor IR to the kernel IR: loops, addresses, vectors.

``pieces`` turns a contraction into rectangular output loops with affine reductions, ``loops`` into
statements, ``vectorise`` into vectors; ``pipeline`` is the list of what happens in which order.
"""
