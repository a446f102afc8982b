"""Short videos, made with PyAV."""

import io
from fractions import Fraction

import numpy as np

RATE = 25


def clip(
    extension: str,
    codec: str = "libx264",
    *,
    num_frames: int = 8,
    size_px: tuple[int, int] = (64, 48),
    pixel_aspect: Fraction | None = None,
    matrix: list[int] | None = None,
    cover: bool = False,
    first_pts: int = 0,
    options: dict[str, str] | None = None,
) -> bytes:
    """A video whose n-th frame has the gray value of 20 n, and is black in its upper right quarter.

    Args:
        extension: Of the container.
        codec: Name of the encoder.
        num_frames: How many frames.
        size_px: Width and height as stored.
        pixel_aspect: Width of a pixel by its height.
        matrix: What the container says of turning and mirroring.
        cover: Whether a white picture is the first stream.
        first_pts: Time of the first frame, in frames.
        options: Of the encoder.
    """
    import av

    file = io.BytesIO()
    formats = {"mkv": "matroska", "ts": "mpegts", "wmv": "asf"}
    with av.open(file, "w", format=formats.get(extension, extension)) as container:
        white = _add_cover(container) if cover else None
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height = size_px
        stream.pix_fmt = "yuv420p"
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if white is not None:
            frame = av.VideoFrame.from_ndarray(np.full((40, 40, 3), 255, np.uint8))
            for packet in [*white.encode(frame), *white.encode()]:
                container.mux(packet)
        for number in range(num_frames):
            pixels = np.full((size_px[1], size_px[0], 3), number * 20, np.uint8)
            pixels[: size_px[1] // 2, size_px[0] // 2 :] = 0
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts, frame.time_base = first_pts + number, Fraction(1, RATE)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()


def _add_cover(container):
    stream = container.add_stream("mjpeg", rate=1)
    stream.width = stream.height = 40
    stream.pix_fmt = "yuvj420p"
    return stream
