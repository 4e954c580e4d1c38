"""What the layers of Keras inherit of the backend: nothing."""


class BackendLayer:
    """A mix-in of ``keras.Layer``."""
