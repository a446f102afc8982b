"""Frames as an animated GIF."""

import io
from collections.abc import Sequence

from PIL import Image

FRAME_MS, END_MS = 80, 600  # how long a frame is shown; the first and the last one rest


def encode_gif(frames: Sequence[Image.Image]) -> bytes:
    """Encodes an animation that plays over and over.

    Args:
        frames: At least two images of one size, of mode `L` (stored exactly) or `RGB` (reduced to
            256 colours a frame).

    Returns:
        The content of a GIF file. Equal frames in a row become one that is shown longer.
    """
    durations = [END_MS] + [FRAME_MS] * (len(frames) - 2) + [END_MS]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
    )
    return buffer.getvalue()
