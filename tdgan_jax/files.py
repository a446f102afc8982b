"""Small files: read whole, replaced whole.

A reader of a file that is written here sees the old or the new content, never a part.
"""

import json
import os
from pathlib import Path
from typing import Any

from tdgan_jax.errors import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file as a whole; the old content stays in place when writing fails.

    Raises:
        UserError: The file cannot be written (no space, no permission).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # Gone after a successful replace; its folder may not exist either.
        if temporary.exists():
            temporary.unlink()


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON, atomically; numpy and jax numbers and arrays become plain ones.

    Raises:
        UserError: The file cannot be written.
        ValueError: A number is not finite.
    """
    text = json.dumps(value, indent=2, allow_nan=False, default=plain)
    write_atomically(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        UserError: The file is missing, unreadable or damaged.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged, it is not JSON: {error}") from error


def plain(value: Any) -> Any:
    """Numbers, arrays and paths of libraries as JSON's values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
