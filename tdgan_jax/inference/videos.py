"""Frames of videos, read with PyAV, an optional package that is imported when a video is met."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from tdgan_jax.data.image_files import BadImage, check_size

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .flv .3gp .ts .mts .ogv".split()
)


def frames(path: Path, *, every: int = 1) -> Iterator[tuple[int, float | None, Image.Image]]:
    """Reads a video frame by frame, each turned as a player shows it.

    Args:
        path: A video file.
        every: Frames whose number is a multiple of this are given; the others are only decoded.

    Yields:
        The frame's number from 0, its time in seconds from the start (None if the file does not
        say), and the frame as an RGB image.

    Raises:
        BadImage: If PyAV is missing, or the file is unreadable, damaged, without a picture, or
            its pictures are too large. Frames before a damaged place have been given by then.
    """
    try:
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError as error:
        raise BadImage("reading videos needs PyAV: pip install 'tdgan-jax[video]'") from error

    if not path.is_file():
        raise BadImage("no such file" if not path.exists() else "not a file")
    number = -1
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadImage("it holds no video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            check_size(stream.width, stream.height)
            for number, frame in enumerate(container.decode(stream)):
                if number % every == 0:
                    check_size(frame.width, frame.height)  # It may change on the way.
                    yield number, _seconds(frame, stream), _upright(frame)
    except BadImage:
        raise
    except (FFmpegError, OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadImage(f"damaged after {number + 1} frames ({reason})") from error
    if number < 0:
        raise BadImage("no frame of the video can be decoded")


def _seconds(frame: Any, stream: Any) -> float | None:
    if frame.time is None:
        return None
    start = 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base)
    return frame.time - start


def _upright(frame: Any) -> Image.Image:
    image = frame.to_image()
    # Phones store how they were held; both libraries count degrees counter-clockwise.
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image
