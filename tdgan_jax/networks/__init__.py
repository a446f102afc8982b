"""Networks as `flax.nnx` modules, NHWC, one file per system; shared blocks in `layers`."""
