"""``keras.random`` on tilec: every draw is a function of its seed, which is a tensor."""

from keras_tilec.src.host import SeedGenerator, draw_seed, make_default_seed

__all__ = ["SeedGenerator", "draw_seed", "make_default_seed"]
