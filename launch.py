"""Trains, resumes and evaluates a run: `python launch.py --config configs/tdgan_synthetic.py`."""

import sys

from tdgan_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
