"""Building a dataset wholly or not at all: a hidden folder that becomes the dataset at the end."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tdgan_jax.runs.lock import locked_folder


@contextlib.contextmanager
def staging_folder(root: Path, name: str) -> Iterator[Path]:
    """Makes a hidden folder for one build and removes it afterwards, whatever happens.

    Args:
        root: Where datasets are kept; made if need be.
        name: Name of the dataset. Folders that killed builds of it left are removed; those of
            builds that are still running are not.

    Yields:
        An empty folder on the same file system as the datasets.
    """
    prefix = f".preparing_{name}_"
    root.mkdir(parents=True, exist_ok=True)
    for left_behind in root.glob(f"{prefix}*"):
        # It may be gone by now, since a build that ends removes its own, or belong to another user.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            # Where nothing can be locked, nothing is ever taken for abandoned.
            with locked_folder(left_behind) as is_abandoned:
                if is_abandoned:
                    shutil.rmtree(left_behind, ignore_errors=True)
    with _staging_in_use(root, prefix) as staging:
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _staging_in_use(root: Path, prefix: str) -> Iterator[Path]:
    """Makes a folder that is marked as in use.

    Until it is, another process may take it for abandoned and remove it: then a new one is made.
    """
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
            with contextlib.suppress(FileNotFoundError):
                stack.enter_context(locked_folder(folder, wait=True))
                folder.stat()
                break
        yield folder


def move_into_place(staging: Path, root: Path, target: Path) -> None:
    """Moves a complete dataset from its staging folder to where it belongs.

    Args:
        staging: The folder that TFDS was given as its data directory.
        root: Where datasets are kept.
        target: Directory of the dataset below `root`; one that is there is replaced.
    """
    relative = Path(os.path.relpath(target, root))
    built = staging / relative
    default_config = staging / relative.parts[0] / ".config"
    destination = root / relative
    destination.parent.mkdir(parents=True, exist_ok=True)
    if default_config.exists():
        # Lets `tfds.builder_from_directory` and `tfds.load` find the default configuration.
        shutil.copytree(default_config, root / relative.parts[0] / ".config", dirs_exist_ok=True)
    if destination.exists():
        destination.rename(staging / "replaced")
    built.rename(destination)
