"""What a file of weights must be before a library opens it."""

import os
import zipfile
from pathlib import Path

from tdgan_jax.errors import UserError
from tdgan_jax.files import check_size, open_file, reason

MAX_WEIGHTS_BYTES = 16 << 30


def check_weights_file(path: Path) -> None:
    """Makes sure that a file of weights is a plain one which can be held in memory.

    Args:
        path: Where it is.

    Raises:
        UserError: If it is missing, no plain file, too large, or an archive that unpacks to more
            than its size: PyTorch's archives are not compressed.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            check_size(size, MAX_WEIGHTS_BYTES)
            unpacked = _unpacked_size(file)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    if unpacked > size:
        raise UserError(
            f"{path} is not read: it would unpack to {unpacked:,} bytes, which no file of weights "
            f"of {size:,} bytes does"
        )


def _unpacked_size(file: object) -> int:
    """Bytes that an archive says it holds; 0 of other files, and of a damaged one."""
    try:
        with zipfile.ZipFile(file) as archive:  # type: ignore[arg-type]
            return sum(entry.file_size for entry in archive.infolist())
    except Exception:  # Python's reader raises almost anything; PyTorch's finds the damage, too.
        return 0
