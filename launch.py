"""Trains, resumes and evaluates a run: `python launch.py --config configs/tdgan_synthetic.py`."""

import sys

from tdgan_jax.cli.main import main
from tdgan_jax.machine import restart_with_huge_pages

if __name__ == "__main__":
    restart_with_huge_pages()
    sys.exit(main(["train", *sys.argv[1:]]))
