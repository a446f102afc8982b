"""Videos are read as a player shows them, by `predict` and by builders through one reader."""

import io
import os
from fractions import Fraction

import numpy as np
import pytest

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.data.video_files import decoded_frames, image_of
from tdgan_jax.inference.videos import frames
from tdgan_jax.preparation.video_frames import read_frames
from tests.data.clips import RATE, clip

pytest.importorskip("av")

ONE = 1 << 16
WITH_B_FRAMES = {"bf": "2"}


def shown(data, tmp_path):
    """Numbers, times and pictures, as predict reads them; builders must see the same pictures."""
    path = tmp_path / "clip"
    path.write_bytes(data)
    numbers, times, images = zip(*frames(path), strict=True)
    built = read_frames(data, lambda count: range(count))
    for one, other in zip(images, built, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    return numbers, times, images


CONTAINERS = (("mp4", "libx264"), ("mkv", "libx264"), ("ts", "libx264"), ("mov", "mpeg4"))
# They store when frames are decoded; whoever writes one fills a gap behind the first frame.
OLD_CONTAINERS = (("avi", "libx264"), ("avi", "mpeg4"), ("avi", "ffv1"))


@pytest.mark.parametrize(
    ("extension", "codec", "first_pts"),
    [(*kind, first_pts) for kind in CONTAINERS for first_pts in (0, 3)]
    + [(*kind, 0) for kind in OLD_CONTAINERS],
)
def test_times_rise_from_zero_in_every_container(extension, codec, first_pts, tmp_path):
    options = WITH_B_FRAMES if codec != "ffv1" else {}
    data = clip(extension, codec, options=options, first_pts=first_pts)
    numbers, times, images = shown(data, tmp_path)
    assert numbers == tuple(range(8))
    assert times == pytest.approx([number / RATE for number in range(8)], abs=1e-3)
    levels = [np.asarray(image)[40, 10].mean() for image in images]
    assert levels == pytest.approx([20 * number for number in range(8)], abs=5)


@pytest.mark.parametrize(
    ("pixel_aspect", "size_px"),
    [
        (Fraction(16, 9), (114, 48)),
        (Fraction(8, 9), (57, 48)),
        (Fraction(1, 1), (64, 48)),
        (None, (64, 48)),
    ],
)
@pytest.mark.parametrize("extension", ["mp4", "mkv", "avi"])
def test_pixels_are_square(extension, pixel_aspect, size_px, tmp_path):
    codec = "mpeg4" if extension == "avi" else "libx264"
    data = clip(extension, codec, pixel_aspect=pixel_aspect, num_frames=2)
    image = shown(data, tmp_path)[2][1]
    assert image.size == size_px
    pixels = np.asarray(image)[..., 0]
    assert pixels[10, size_px[0] * 3 // 4] < 5 and pixels[10, size_px[0] // 4] > 12


# What the matrix of a container does, and where the dark quarter, upper right, goes.
TURNS = {
    "as it is": ([ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30], "upper right"),
    "clockwise": ([0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30], "lower right"),
    "upside down": ([-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30], "lower left"),
    "counter-clockwise": ([0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30], "upper left"),
    "mirrored": ([-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30], "upper left"),
    "mirrored upright": ([ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30], "lower right"),
    "clockwise and mirrored": ([0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30], "lower left"),
    "the other diagonal": ([0, -ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30], "upper right"),
    "by a hair": ([ONE, 3, 0, -3, ONE, 0, 0, 0, 1 << 30], "upper right"),
    "nothing": ([0, 0, 0, 0, 0, 0, 0, 0, 0], "upper right"),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("extension", ["mp4", "mov"])
def test_turned_and_mirrored_as_noted(extension, turn, tmp_path):
    matrix, place = TURNS[turn]
    image = shown(clip(extension, matrix=matrix, num_frames=3), tmp_path)[2][2]
    turned = abs(matrix[1]) > ONE // 2
    assert image.size == ((48, 64) if turned else (64, 48))
    pixels = np.asarray(image)[..., 0]
    rows, columns = pixels.shape
    corners = {
        "upper left": pixels[rows // 4, columns // 4],
        "upper right": pixels[rows // 4, columns * 3 // 4],
        "lower left": pixels[rows * 3 // 4, columns // 4],
        "lower right": pixels[rows * 3 // 4, columns * 3 // 4],
    }
    assert [name for name, level in corners.items() if level < 10] == [place]


def test_stretched_first_then_turned(tmp_path):
    data = clip("mp4", pixel_aspect=Fraction(3, 2), matrix=TURNS["clockwise"][0], num_frames=2)
    assert shown(data, tmp_path)[2][1].size == (48, 96)


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "avi", "wmv"])
def test_the_film_is_read_and_not_its_cover(extension, tmp_path):
    images = shown(clip(extension, cover=True), tmp_path)[2]
    assert len(images) == 8 and {image.size for image in images} == {(64, 48)}


def test_sound_with_a_cover_is_no_video(tmp_path):
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width = stream.height = 40
        stream.pix_fmt = "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        sound = container.add_stream("aac", rate=8000, layout="mono")
        picture = av.VideoFrame.from_ndarray(np.full((40, 40, 3), 255, np.uint8))
        samples = np.zeros((1, 1024), np.float32)
        silence = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        silence.sample_rate = 8000
        for one, frame in ((stream, picture), (sound, silence)):
            for packet in [*one.encode(frame), *one.encode()]:
                container.mux(packet)
    (tmp_path / "song.mp4").write_bytes(file.getvalue())
    with pytest.raises(BadImage, match="it holds no video"):
        list(frames(tmp_path / "song.mp4"))


def test_variable_frame_rates_are_kept(tmp_path):
    import av

    times = [0, 1, 5, 6, 30]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * time, np.uint8))
            frame.pts, frame.time_base = time, Fraction(1, RATE)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    assert shown(file.getvalue(), tmp_path)[1] == pytest.approx([time / RATE for time in times])


def test_a_container_that_begins_anew_goes_on_rising(tmp_path):
    once = clip("ts", num_frames=5)
    times = shown(once + once, tmp_path)[1]
    assert len(times) == 10 and all(np.diff(times) > 0)


def test_a_list_of_other_files_is_not_followed(tmp_path):
    (tmp_path / "secret.ts").write_bytes(clip("ts"))
    playlist = f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n"
    for name, content in (
        ("a.mp4", playlist),
        ("b.mp4", f"ffconcat version 1.0\nfile {tmp_path}/secret.ts\n"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(BadImage):
            list(frames(tmp_path / name))


def test_names_that_ffmpeg_takes_for_addresses_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.mp4", "pipe:0.mp4"):
        (tmp_path / name).write_bytes(clip("mp4", num_frames=2))
        assert len(list(frames(tmp_path.__class__(name)))) == 2


@pytest.mark.parametrize("name", ["pipe.mp4", "zero.mp4", "folder.mp4", "gone.mp4"])
def test_what_is_no_file(name, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(BadImage, match="not a file|No such file"):
        list(frames(tmp_path / name))


def test_pictures_stretched_beyond_measure_are_refused():
    data = clip("mp4", size_px=(4096, 512), pixel_aspect=Fraction(50, 1), num_frames=1)
    (frame,) = decoded_frames(io.BytesIO(data))
    with pytest.raises(BadImage, match="more than 100,000,000"):
        image_of(frame)
