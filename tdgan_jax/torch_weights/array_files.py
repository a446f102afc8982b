"""Files of one array, as a program saved it with PyTorch or pickled it; read safely."""

import zipfile
from pathlib import Path

import numpy as np

from tdgan_jax.data.safe_pickles import is_array, load_pickle, to_array
from tdgan_jax.errors import UserError
from tdgan_jax.files import open_file
from tdgan_jax.torch_weights.state_files import read_tensor

# With which files of PyTorch before 1.6 begin; two more pickles come before the content.
_OLD_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_MAX_PICKLE_BYTES = 1 << 28


def read_array(path: Path) -> np.ndarray:
    """Reads one array.

    Args:
        path: A pickled array of NumPy, or a tensor or an array of NumPy as `torch.save` writes it.

    Raises:
        UserError: If the file cannot be read, is damaged, or holds anything else. Nothing that a
            pickle names is run.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        return _pickled_array(path)
    except (UserError, ValueError, zipfile.BadZipFile):  # a tensor, or nothing that is read
        return read_tensor(path)


def _pickled_array(path: Path) -> np.ndarray:
    """The array of NumPy that a file holds.

    Raises:
        ValueError: If it holds something else.
        UserError: If it holds other classes.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inner = next((i for i in archive.infolist() if i.filename.endswith("data.pkl")), None)
            if inner is None or inner.file_size > _MAX_PICKLE_BYTES:
                raise ValueError("no pickle of a sensible size")
            with archive.open(inner) as file:
                content = load_pickle(file, allowed=(), source=str(path))
    else:
        with open_file(path) as file:
            content = load_pickle(file, allowed=(), source=str(path))
            if content == _OLD_TORCH_MAGIC:
                for _ in range(3):
                    content = load_pickle(file, allowed=(), source=str(path))
    if not is_array(content):
        raise ValueError("no array of NumPy")
    return to_array(content)
