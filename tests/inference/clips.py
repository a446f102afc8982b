"""Short videos for tests, made with PyAV."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from tests.faces.scenes import drawn_face


def write_clip(path, images, *, rate=5, times_ms=None):
    """Writes RGB images as a video; with times, frame by frame when each is shown."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *images[0].size, "yuv420p"
        stream.bit_rate = 2_000_000
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def two_faces(number):
    """A frame: a face that moves to the right, a smaller one that moves to the left above it."""
    frame = Image.new("RGB", (320, 240), (90, 110, 140))
    frame.paste(drawn_face(12, "happiness", 130), (10 + 12 * number, 105))
    frame.paste(drawn_face(34, "surprise", 96), (210 - 14 * number, 4))
    return frame


def frames_of(path):
    """Times in milliseconds and pictures of all frames."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [(round(frame.time * 1000), frame.to_image()) for frame in container.decode(video=0)]
