"""The pictures that a command line names: files, folders, patterns, videos, a list on stdin.

Everything is read one picture at a time. A file that cannot be read is a `Picture` without an
image: whoever goes through ten thousand files is not stopped by one of them.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from PIL import Image

from tdgan_jax.data import picture_files
from tdgan_jax.data.image_files import BadImage
from tdgan_jax.errors import UserError
from tdgan_jax.inference.videos import VIDEO_SUFFIXES, frames

STDIN = "-"


class InputFile(NamedTuple):
    """A file to read.

    Attributes:
        path: As the user wrote it, or below the folder that the user named.
        name: Relative path below that folder; the file's own name if it was named itself.
    """

    path: Path
    name: PurePath


class Picture(NamedTuple):
    """A picture, or a frame of a video, or why there is none.

    Attributes:
        file: Where it comes from.
        frame: Number of the frame, from 0; None for a picture.
        time_s: Seconds from the start of the video; None for a picture or where it is unknown.
        image: Upright, of mode `RGB`; None if it could not be read.
        reason: Why not; empty if it could.
    """

    file: InputFile
    frame: int | None
    time_s: float | None
    image: Image.Image | None
    reason: str = ""


def check_named(arguments: Sequence[str]) -> None:
    """Makes sure that there is something to read, before any work starts.

    A file that is not there is found out when it is read, as one of a list on stdin.

    Args:
        arguments: What the user wrote; a list on stdin is not looked into.

    Raises:
        UserError: If a pattern matches nothing, a folder holds no picture, or the only path does
            not exist.
    """
    for argument in arguments:
        if argument != STDIN and not any(True for _ in _files_of_argument(argument)):
            if os.path.isdir(argument):
                suffixes = " ".join(sorted(picture_files.SUFFIXES | VIDEO_SUFFIXES))
                raise UserError(
                    f"no pictures or videos in the folder {argument}; of a folder the files are "
                    f"read that end in {suffixes}"
                )
            raise UserError(f"nothing matches {argument}")
    if len(arguments) == 1 and arguments[0] != STDIN and not os.path.lexists(arguments[0]):
        if not glob.has_magic(arguments[0]):
            raise UserError(f"there is no file or folder {arguments[0]}")


def count_pictures(arguments: Sequence[str]) -> int | None:
    """How many pictures will be read; None where a video or a list on stdin makes it unknown."""
    if STDIN in arguments:
        return None
    count = 0
    for argument in arguments:
        for file in _files_of_argument(argument):
            if _is_video(file.path):
                return None
            count += 1
    return count


def named_files(arguments: Sequence[str], listed: Iterable[bytes]) -> Iterator[InputFile]:
    """The files that the user named, in a fixed order.

    Args:
        arguments: Files, folders (with all below them), patterns with `*`, `?` or `[...]`, or `-`.
        listed: Lines with one path each, read where the arguments hold `-`.

    Yields:
        Files; those of folders only if their suffix is that of a picture or a video.
    """
    for argument in arguments:
        if argument != STDIN:
            yield from _files_of_argument(argument)
            continue
        for line in listed:
            path = os.fsdecode(line.rstrip(b"\r\n"))
            if path:
                yield from _files_of_path(path)


def read_pictures(files: Iterable[InputFile], *, every: int = 1) -> Iterator[Picture]:
    """Reads files one after the other.

    Args:
        files: What to read.
        every: Of a video, each frame whose number is a multiple of this is read.

    Yields:
        At least one picture a file.
    """
    for file in files:
        if _is_video(file.path):
            yield from _read_video(file, every)
            continue
        try:
            yield Picture(file, None, None, picture_files.read_picture(file.path))
        except BadImage as error:
            yield Picture(file, None, None, None, str(error))


def _read_video(file: InputFile, every: int) -> Iterator[Picture]:
    try:
        for number, time_s, image in frames(file.path, every=every):
            yield Picture(file, number, time_s, image)
    except BadImage as error:
        yield Picture(file, None, None, None, str(error))


def _files_of_argument(argument: str) -> Iterator[InputFile]:
    # A name with brackets may be meant as it is.
    if os.path.lexists(argument) or not glob.has_magic(argument):
        yield from _files_of_path(argument)
        return
    for path in sorted(glob.iglob(argument, recursive=True)):
        yield from _files_of_path(path)


def _files_of_path(path: str) -> Iterator[InputFile]:
    if not os.path.isdir(path):
        yield InputFile(Path(path), PurePath(os.path.basename(path)))
        return
    for parent, folders, files in os.walk(path, onerror=_cannot_list):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            found = Path(parent, name)
            if not name.startswith(".") and (_is_video(found) or _is_picture(found)):
                yield InputFile(found, found.relative_to(path))


def _cannot_list(error: OSError) -> None:
    raise UserError(f"cannot list the folder {error.filename}: {error.strerror}")


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in picture_files.SUFFIXES
