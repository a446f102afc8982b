"""The frames of a video with what a model recognised in them, as a video."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tdgan_jax.errors import UserError
from tdgan_jax.inference.annotation import annotate
from tdgan_jax.inference.outputs import staged_path, write_errors_of
from tdgan_jax.inference.recognition import Recognised
from tdgan_jax.printing import printable

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffixes of the files that can be written, and what FFmpeg calls their format."""

_CODECS = ("libx264", "mpeg4")  # the first of them that this FFmpeg has
_TICKS_A_SECOND = 1000
_UNKNOWN_STEP_TICKS = 40  # between frames whose time is unknown
_FRAMES_A_SECOND = 25  # what the encoder plans with; every frame has a time of its own
_ROOM_FOR = 2  # faces with bars, at least
_PAPER = (255, 255, 255)


@contextlib.contextmanager
def video_writer(
    path: Path, expression_names: Sequence[str]
) -> Iterator[Callable[[Recognised], None]]:
    """Opens a video that is complete when the block has ended well, and absent otherwise.

    Frames are shown when those of the original are, and as long as until the next one. All have the
    size of the first. There is no sound.

    Args:
        path: A file that ends in one of the suffixes of `CONTAINERS`.
        expression_names: Names of the expressions.

    Yields:
        A function that writes a frame.

    Raises:
        UserError: If PyAV is missing, there was no frame, or the file cannot be written.
    """
    try:
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError as error:
        raise UserError("writing videos needs PyAV: pip install 'tdgan-jax[video]'") from error

    with staged_path(path) as staging:
        try:
            with write_errors_of(path):
                container = av.open(str(staging), "w", format=CONTAINERS[path.suffix.lower()])
            with container:
                frames = _Frames(container, expression_names)
                yield frames.write
                frames.finish()
        except FFmpegError as error:
            reason = error.strerror or error
            raise UserError(f"cannot write {printable(path)}: {reason}") from error
        if frames.size is None:
            raise UserError(f"cannot write {printable(path)}: there is no frame to show")


class _Frames:
    """The frames of a container that is being written.

    Attributes:
        size: Width and height of all frames; None before the first.
    """

    def __init__(self, container: Any, expression_names: Sequence[str]):
        self.size: tuple[int, int] | None = None
        self._container = container
        self._names = expression_names
        self._stream: Any = None
        self._last_ticks = -1

    def write(self, recognised: Recognised) -> None:
        """Draws a frame; a picture that could not be read is none."""
        import av

        image = recognised.picture.image
        if image is None:
            return
        drawn = annotate(image, recognised.records, self._names, room_for=_ROOM_FOR)
        if self.size is None:
            # The usual way of storing colours takes two by two pixels.
            self.size = (drawn.width + drawn.width % 2, drawn.height + drawn.height % 2)
            self._stream = self._open_stream(self.size)
        frame = av.VideoFrame.from_ndarray(np.asarray(_of_size(drawn, self.size)), format="rgb24")
        frame.pts, frame.time_base = self._ticks(recognised.picture.time_s), _time_base()
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        for packet in self._stream.encode() if self._stream is not None else ():
            self._container.mux(packet)

    def _open_stream(self, size: tuple[int, int]) -> Any:
        import av

        codec = next(name for name in _CODECS if name in av.codecs_available)
        stream = self._container.add_stream(codec, rate=_FRAMES_A_SECOND)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _time_base()
        return stream

    def _ticks(self, time_s: float | None) -> int:
        """When a frame is shown: always later than the one before."""
        if time_s is None:
            self._last_ticks += _UNKNOWN_STEP_TICKS if self._last_ticks >= 0 else 1
        else:
            self._last_ticks = max(self._last_ticks + 1, round(time_s * _TICKS_A_SECOND))
        return self._last_ticks


def _of_size(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture in the size of all frames, with paper at its edges where it has another shape."""
    if image.width <= size[0] <= image.width + 1 and image.height <= size[1] <= image.height + 1:
        whole = Image.new("RGB", size, _PAPER)
        whole.paste(image, (0, 0))
        return whole
    return ImageOps.pad(image, size, color=_PAPER)


def _time_base() -> Fraction:
    return Fraction(1, _TICKS_A_SECOND)
