"""The commands of `tdgan-jax`, one file each."""
