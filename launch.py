"""Trains, resumes and evaluates a run: `python launch.py --config configs/tdgan_synthetic.py`."""

import sys

try:
    from tdgan_jax.cli.main import main
    from tdgan_jax.machine import restart_with_huge_pages
except ModuleNotFoundError as error:
    if str(error.name).startswith("tdgan_jax"):
        raise
    sys.exit(f"launch.py: {error.name} is not installed; first: python -m pip install .")

if __name__ == "__main__":
    restart_with_huge_pages()
    sys.exit(main(["train", *sys.argv[1:]]))
