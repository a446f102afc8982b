"""The program `tdgan-jax COMMAND`, also as `python -m tdgan_jax COMMAND`."""

import sys

from tdgan_jax.cli.main import main
from tdgan_jax.machine import restart_with_huge_pages


def run() -> int:
    """Runs the command that the process was started with; returns the exit code."""
    if sys.argv[1:2] == ["train"]:  # what takes and gives back much memory
        restart_with_huge_pages()
    return main()


if __name__ == "__main__":
    sys.exit(run())
