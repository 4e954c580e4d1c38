"""Translators of ONNX operators, by area."""
