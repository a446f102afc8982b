"""Runs `python -m tdgan_jax COMMAND` as `tdgan-jax COMMAND`."""

import sys

from tdgan_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
