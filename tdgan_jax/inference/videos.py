"""Frames of the videos that a user names."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.data.video_files import VIDEO_SUFFIXES as VIDEO_SUFFIXES
from tdgan_jax.data.video_files import decoded_frames, image_of
from tdgan_jax.files import open_file, reason


def frames(path: Path, *, every: int = 1) -> Iterator[tuple[int, float | None, Image.Image]]:
    """Reads a video frame by frame, each as a player shows it.

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
        file = open_file(path)
    except OSError as error:
        raise BadImage(reason(error)) from error
    with file:
        for frame in decoded_frames(file):
            if frame.number % every == 0:
                yield frame.number, frame.time_s, image_of(frame)
