"""Frames of videos as a player shows them, read with PyAV, an optional package.

PyAV is imported when a video is met. A player takes the film and not the picture of its cover,
stretches pixels that are not square, turns and mirrors what a camera noted, and shows the frames at
times that rise from 0, whatever the container counts.
"""

import heapq
import io
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from PIL import Image

from tdgan_jax.data.image_files import BadImage, check_size
from tdgan_jax.files import reason

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .flv .3gp .ts .mts .ogv".split()
)

# Containers that store when a frame is decoded, not when it is shown.
_IN_ORDER_OF_DECODING = frozenset({"avi"})
_MATRIX = struct.Struct("=9i")
_TURNS = {
    # Where the matrix of the container takes the axes x and y; y points down.
    ((1, 0), (0, 1)): None,
    ((0, 1), (-1, 0)): Image.Transpose.ROTATE_270,
    ((-1, 0), (0, -1)): Image.Transpose.ROTATE_180,
    ((0, -1), (1, 0)): Image.Transpose.ROTATE_90,
    ((-1, 0), (0, 1)): Image.Transpose.FLIP_LEFT_RIGHT,
    ((1, 0), (0, -1)): Image.Transpose.FLIP_TOP_BOTTOM,
    ((0, 1), (1, 0)): Image.Transpose.TRANSPOSE,
    ((0, -1), (-1, 0)): Image.Transpose.TRANSVERSE,
}


class NoVideoReader(BadImage):
    """PyAV is not installed; the message says how to install it."""


class VideoFrame(NamedTuple):
    """A frame that has been decoded.

    Attributes:
        number: From 0, in the order in which they are shown.
        time_s: When it is shown, in seconds after the first; None if the file does not say.
        decoded: PyAV's frame; `image_of` gives the picture.
        pixel_aspect: Width of a stored pixel by its height.
    """

    number: int
    time_s: float | None
    decoded: Any
    pixel_aspect: float


def decoded_frames(file: io.BufferedIOBase) -> Iterator[VideoFrame]:
    """Decodes a video.

    Args:
        file: A binary file object that can be read again.

    Yields:
        Its frames, in the order in which they are shown.

    Raises:
        BadImage: If PyAV is missing, or the file is damaged, without a film, or its pictures are
            too large. Frames before a damaged place have been given by then.
    """
    try:
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError as error:
        raise NoVideoReader("reading videos needs PyAV: pip install 'tdgan-jax[video]'") from error

    number = 0
    opened: Any = av.open  # typed as a container that may be for writing
    try:
        # A list of files or addresses in the disguise of a video is not followed.
        with opened(file, io_open=_refuse_to_open) as container:
            stream = _film(container)
            check_size(stream.width, stream.height)
            clock = _Clock(stream, container.format.name)
            for packet in container.demux(stream):
                clock.see(packet)
                for frame in packet.decode():
                    check_size(frame.width, frame.height)  # It may change on the way.
                    yield VideoFrame(number, clock.time_of(frame), frame, _pixel_aspect(stream))
                    number += 1
    except BadImage:
        raise
    except (FFmpegError, OSError, ValueError, MemoryError) as error:
        raise BadImage(f"damaged after {number} frames ({reason(error)})") from error
    if not number:
        raise BadImage("no frame of the video can be decoded")


def image_of(frame: VideoFrame) -> Image.Image:
    """The picture of a frame: RGB, of square pixels, upright.

    Raises:
        BadImage: If it is too large.
    """
    image = frame.decoded.to_image()
    width_px = max(1, round(image.width * frame.pixel_aspect))
    if width_px != image.width:
        check_size(width_px, image.height)
        image = image.resize((width_px, image.height), Image.Resampling.BICUBIC)
    return _turned(image, frame.decoded)


def _film(container: Any) -> Any:
    """The stream that a player shows."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    films = [stream for stream in container.streams.video if not stream.disposition & still]
    if not films:
        raise BadImage("it holds no video")
    # A cover that does not say so is a single frame beside a film.
    several = [stream for stream in films if stream.frames != 1] or films
    best = container.streams.best("video")
    stream = next((stream for stream in several if best and stream.index == best.index), several[0])
    stream.thread_type = "AUTO"
    return stream


class _Clock:
    """Tells when frames are shown, from 0 and never back."""

    def __init__(self, stream: Any, container_format: str):
        self._time_base = stream.time_base
        self._step_s = 1 / float(stream.average_rate) if stream.average_rate else 0.0
        self._is_in_order_of_decoding = container_format in _IN_ORDER_OF_DECODING
        self._waiting: list[int] = []
        self._last_s: float | None = None
        self._last_raw_s: float | None = None

    def see(self, packet: Any) -> None:
        """Takes note of a packet's time, before its frames come."""
        if self._is_in_order_of_decoding and packet.dts is not None:
            heapq.heappush(self._waiting, packet.dts)

    def time_of(self, frame: Any) -> float | None:
        """The time of the next frame, in seconds after the first."""
        raw_s = frame.time
        if self._is_in_order_of_decoding and self._time_base is not None:
            # Frames are shown in the order of their times, though not of their packets.
            raw_s = float(heapq.heappop(self._waiting) * self._time_base) if self._waiting else None
        if self._last_s is None or self._last_raw_s is None:
            time_s = None if raw_s is None and not self._step_s else 0.0
        elif raw_s is None or raw_s <= self._last_raw_s:
            time_s = self._last_s + self._step_s  # unknown, or the container begins anew
        else:
            time_s = self._last_s + raw_s - self._last_raw_s
        if time_s is not None:
            self._last_s = time_s
            if raw_s is None:
                raw_s = 0.0 if self._last_raw_s is None else self._last_raw_s + self._step_s
            self._last_raw_s = raw_s
        return time_s


def _pixel_aspect(stream: Any) -> float:
    # What the container says counts more than what the codec says.
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return float(ratio) if ratio else 1.0


def _turned(image: Image.Image, frame: Any) -> Image.Image:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d, *_ = _MATRIX.unpack(bytes(matrix))
    largest = max(map(abs, (a, b, c, d)))
    if not largest:
        return image
    p, q, r, s = (round(value / largest) for value in (a, b, c, d))
    is_by_quarters = max(abs(a * r), abs(b * s)) < 1e-4 * largest**2
    if is_by_quarters and ((p, q), (r, s)) in _TURNS:
        turn = _TURNS[(p, q), (r, s)]
        return image if turn is None else image.transpose(turn)
    # Not by a quarter: PyAV counts degrees counter-clockwise, as Pillow does.
    return image.rotate(frame.rotation, expand=True)


def _refuse_to_open(url: str, flags: int, options: Any) -> NoReturn:
    raise OSError(f"it names another file or address, {url[:80]}")
