"""Pictures with what a model recognised in them, a file each, in a folder."""

import contextlib
import errno
from collections.abc import Sequence
from pathlib import Path

from tdgan_jax.data import picture_files
from tdgan_jax.inference.annotation import annotate
from tdgan_jax.inference.inputs import Picture
from tdgan_jax.inference.names import free_path
from tdgan_jax.inference.recognition import Recognised
from tdgan_jax.printing import printable

# No other picture could be written either.
_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class AnnotatedPictures:
    """Draws pictures and frames into a folder; one that fails does not stop the others.

    Attributes:
        num_failed: How many could not be written.
        first_failure: Name and reason of the first of them.
    """

    def __init__(self, folder: Path, expression_names: Sequence[str]):
        """Takes the folder, which is there and empty, and the names of the bars."""
        self.num_failed = 0
        self.first_failure = ""
        self._folder = folder
        self._names = expression_names
        self._next_numbers: dict[Path, int] = {}

    def write(self, recognised: Recognised) -> None:
        """Draws a picture, unless it could not be read.

        Raises:
            OSError: If nothing more can be written: the disk is full, or read-only.
        """
        picture = recognised.picture
        if picture.image is None:
            return
        path = self._free_path(picture)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            annotate(picture.image, recognised.records, self._names).save(path)
        except OSError as error:
            if error.errno in _FATAL:
                raise
            self._note(path, error.strerror or str(error))
        except (ValueError, MemoryError) as error:
            self._note(path, str(error) or type(error).__name__)

    def _note(self, path: Path, reason: str) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        self.num_failed += 1
        name = printable(path.relative_to(self._folder))
        self.first_failure = self.first_failure or f"{name}: {reason}"

    def _free_path(self, picture: Picture) -> Path:
        """A free name after that of the picture or frame: some of one name come from elsewhere."""
        assert picture.file is not None
        name = picture.file.name
        if picture.frame is not None:
            path = self._folder / name / f"frame_{picture.frame:06d}.png"
        else:
            is_usual = name.suffix.lower() in picture_files.picture_suffixes()
            path = self._folder / (name.with_suffix(".png") if is_usual else f"{name}.png")
        number = self._next_numbers.get(path, 2)
        free = free_path(path, Path.exists, first=number)
        if number > 2 or free != path:
            self._next_numbers[path] = number + 1
        return free
