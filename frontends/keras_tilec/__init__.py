"""The Keras backend of tilec. Keras imports it; users import ``tilec.keras`` and then ``keras``."""
