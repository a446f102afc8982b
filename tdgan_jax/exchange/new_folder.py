"""A folder of a model that appears whole or not at all."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tdgan_jax.errors import UserError
from tdgan_jax.exchange.description import MODEL_FILE
from tdgan_jax.preparation.staging import staging_folder


def check_new_folder(out: Path, *, overwrite: bool) -> None:
    """Refuses a place where no model can or must be written, before any work is done.

    Raises:
        UserError: If something is there; with `overwrite`, if that is no export or import.
    """
    if not (out.exists() or out.is_symlink()):
        return
    if not overwrite:
        raise UserError(f"{out} exists; add --overwrite to replace it")
    # The whole folder goes: nothing but what these commands have made.
    if not (out / MODEL_FILE).is_file() or out.is_symlink():
        raise UserError(f"{out} is no exported or imported model; give the name of a new folder")


@contextlib.contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Gives a folder to write into, which takes its name when the block ends well.

    Args:
        out: Name of the folder.
        overwrite: Whether an export or import that is there is replaced.

    Yields:
        An empty folder.

    Raises:
        UserError: As `check_new_folder`, or if it cannot be written.
    """
    check_new_folder(out, overwrite=overwrite)
    out = out.absolute()
    try:
        with staging_folder(out.parent, out.name) as staging:
            written = staging / "new"
            written.mkdir()
            yield written
            if out.exists():
                out.rename(staging / "old")
            written.rename(out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from error
