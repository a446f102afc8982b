"""The pictures that a command line names: files, folders, patterns, videos, a list on stdin.

Everything is read one picture at a time. A file that cannot be read is a `Picture` without an
image: whoever goes through ten thousand files is not stopped by one of them.
"""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path, PurePath
from typing import NamedTuple

from PIL import Image

from tdgan_jax.data import picture_files
from tdgan_jax.data.image_files import BadImage
from tdgan_jax.errors import UserError
from tdgan_jax.inference.overlap import in_order, one_ahead
from tdgan_jax.inference.patterns import holds_links, matches, walk
from tdgan_jax.inference.videos import VIDEO_SUFFIXES, frames
from tdgan_jax.printing import printable

STDIN = "-"


class Shard(NamedTuple):
    """A part of a list of files: every `count`-th, from number `index` on, which counts from 0."""

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        """As a user writes it."""
        return f"{self.index}/{self.count}"


EVERY_FILE = Shard()


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
        file: Where it comes from; None for a picture in memory.
        frame: Number of the frame, from 0, or of the picture in memory; None for a picture file.
        time_s: Seconds from the start of the video; None for a picture or where it is unknown.
        image: Upright, of mode `RGB`; None if it could not be read.
        reason: Why not; empty if it could.
    """

    file: InputFile | None
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
                suffixes = " ".join(sorted(picture_files.picture_suffixes() | VIDEO_SUFFIXES))
                raise UserError(
                    f"no pictures or videos in the folder {printable(argument)}; of a folder the "
                    f"files are read that end in {suffixes}"
                )
            raise UserError(f"nothing matches {printable(argument)}")
    if len(arguments) == 1 and arguments[0] != STDIN and not os.path.lexists(arguments[0]):
        if not glob.has_magic(arguments[0]):
            raise UserError(f"there is no file or folder {printable(arguments[0])}")


def count_pictures(arguments: Sequence[str], shard: Shard = EVERY_FILE) -> int | None:
    """How many pictures will be read; None where a video or a list on stdin makes it unknown."""
    if STDIN in arguments:
        return None
    count = 0
    for argument in arguments:
        for file in _files_of_argument(argument):
            if is_video(file.path):
                return None
            count += 1
    return len(range(shard.index, count, shard.count))


def named_files(arguments: Sequence[str], listed: Iterable[bytes]) -> Iterator[InputFile]:
    """The files that the user named, in a fixed order.

    Args:
        arguments: Files, folders (with all below them), patterns with `*`, `?` or `[...]`, or `-`.
        listed: Lines with one path each, read where the arguments hold `-`.

    Yields:
        Files; those of folders only if their suffix is that of a picture or a video. What a folder
        or a pattern stands for is given once, however many links lead to it; what is named twice
        is given twice.
    """
    for argument in arguments:
        if argument != STDIN:
            yield from _files_of_argument(argument)
            continue
        for line in listed:
            path = os.fsdecode(line.rstrip(b"\r\n"))
            if path:
                yield from files_of_path(path)


def files_of_shard(files: Iterable[InputFile], shard: Shard) -> Iterator[InputFile]:
    """The files of a shard, which may be none.

    Args:
        files: All files.
        shard: The part of them.

    Raises:
        UserError: If there are no files at all.
    """
    number = None
    for number, file in enumerate(files):
        if number % shard.count == shard.index:
            yield file
    if number is None:
        raise UserError("the list on the standard input is empty")


def read_pictures(
    files: Iterable[InputFile | Callable[[], Picture]],
    pool: Executor,
    *,
    every: int = 1,
    ahead: int = 2,
) -> Iterator[Picture]:
    """Reads files, some of them ahead.

    Args:
        files: What to read, or functions that give a picture.
        pool: The threads that decode.
        every: Of a video, each frame whose number is a multiple of this is read.
        ahead: How many pictures are decoded while one is used; of a video one.

    Yields:
        At least one picture a file, in their order.
    """

    def frames_or_picture(file: InputFile | Callable[[], Picture]) -> Picture | InputFile:
        if not isinstance(file, InputFile):
            return file()
        return file if is_video(file.path) else _read_picture(file)

    for found in in_order(pool, frames_or_picture, files, ahead=ahead):
        if isinstance(found, Picture):
            yield found
        else:
            yield from one_ahead(pool, _read_video(found, every))


def left_out(arguments: Sequence[str]) -> Iterator[str]:
    """Names of the files in the named folders that are taken neither for a picture nor a video."""
    for argument in arguments:
        if argument != STDIN and os.path.isdir(argument):
            for _, files in walk(argument):
                for name in files:
                    if not name.startswith(".") and not _is_taken(Path(name)):
                        yield name


def is_video(path: Path) -> bool:
    """Whether a file is taken for a video, by its suffix."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def _read_picture(file: InputFile) -> Picture:
    try:
        return Picture(file, None, None, picture_files.read_picture(file.path))
    except BadImage as error:
        return Picture(file, None, None, None, str(error))


def _read_video(file: InputFile, every: int) -> Iterator[Picture]:
    try:
        for number, time_s, image in frames(file.path, every=every):
            yield Picture(file, number, time_s, image)
    except BadImage as error:
        yield Picture(file, None, None, None, str(error))


def _files_of_argument(argument: str) -> Iterator[InputFile]:
    # A name with brackets may be meant as it is.
    if os.path.lexists(argument) or not glob.has_magic(argument):
        yield from files_of_path(argument)
        return
    found = (file for path in matches(argument) for file in files_of_path(path))
    yield from _each_once(found)


def files_of_path(path: str) -> Iterator[InputFile]:
    """A file, or all pictures and videos in a folder and below it."""
    if os.path.isdir(path):
        files = _files_of_folder(path)
        # Which files were given is remembered only where it matters: there may be a million.
        yield from _each_once(files) if holds_links(path) else files
    else:
        yield InputFile(Path(path), PurePath(os.path.basename(path)))


def _files_of_folder(path: str) -> Iterator[InputFile]:
    for parent, files in walk(path):
        for name in files:
            found = Path(parent, name)
            if not name.startswith(".") and _is_taken(found):
                yield InputFile(found, found.relative_to(path))


def _each_once(files: Iterable[InputFile]) -> Iterator[InputFile]:
    """Leaves out files that are another one under another name, but for hard links."""
    seen: set[str] = set()
    for file in files:
        real = os.path.realpath(file.path)
        if real not in seen:
            seen.add(real)
            yield file


def _is_taken(path: Path) -> bool:
    return is_video(path) or path.suffix.lower() in picture_files.picture_suffixes()
