"""Lowering: from the checked text to the tensor IR, once sizes are known."""

from tilec.lang.lower.program import lower

__all__ = ["lower"]
