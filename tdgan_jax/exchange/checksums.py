"""SHA-256 sums of the files of a shipped model, in the format of the program `sha256sum`."""

import hashlib
from pathlib import Path

from tdgan_jax.errors import UserError
from tdgan_jax.files import open_file, read_file, write_atomically

SUMS_FILE = "SHA256SUMS"


def write_sums(folder: Path) -> None:
    """Writes `SHA256SUMS` with one line for every other file of a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS_FILE)
    text = "".join(f"{_sum(path)}  {path.name}\n" for path in files)
    write_atomically(folder / SUMS_FILE, text.encode())


def check_sums(folder: Path) -> None:
    """Compares the files of a folder with its `SHA256SUMS`.

    Raises:
        UserError: If the file is missing, or another one is missing or differs from it.
    """
    try:
        lines = read_file(folder / SUMS_FILE).decode("ascii").splitlines()
        for expected, name in (line.split("  ", 1) for line in lines):
            if _sum(folder / name) != expected:
                raise ValueError(f"the SHA-256 of {name} is not that of the release")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is damaged: {error}; install the package again") from error


def _sum(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
