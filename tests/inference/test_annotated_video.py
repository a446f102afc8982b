import os
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.errors import UserError
from tdgan_jax.inference.annotated_video import CONTAINERS, video_writer
from tdgan_jax.inference.inputs import InputFile, Picture
from tdgan_jax.inference.recognition import Recognised
from tdgan_jax.inference.records import FaceRecord
from tests.inference.clips import frames_of

NAMES = ("surprise", "fear", "anger")
BLUE = (0, 114, 178)
FILE = InputFile(Path("clip.mp4"), PurePath("clip.mp4"))

pytest.importorskip("av")


def recognised(number, time_s, *, size=(300, 200), track=0, image=True):
    record = FaceRecord(
        face=0,
        track=track,
        box=(50.0, 60.0, 150.0, 160.0),
        status="ok",
        label="fear",
        probabilities=dict(zip(NAMES, (0.1, 0.7, 0.2), strict=True)),
    )
    picture = Image.new("RGB", size, (200, 200, 200)) if image else None
    return Recognised(Picture(FILE, number, time_s, picture), [record])


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_frames_are_shown_when_those_of_the_original_are(suffix, tmp_path):
    times = [0.0, 0.04, 0.3, 1.0, 1.04]
    with video_writer(tmp_path / f"seen{suffix}", NAMES) as write:
        for number, time_s in enumerate(times):
            write(recognised(number, time_s))
            assert not (tmp_path / f"seen{suffix}").exists()
    assert os.listdir(tmp_path) == [f"seen{suffix}"]
    frames = frames_of(tmp_path / f"seen{suffix}")
    assert [time for time, _ in frames] == [round(time * 1000) for time in times]
    for _, image in frames:
        # The picture is enlarged to 256 pixels of height; the panel stands to its right.
        assert image.size == (384 + 238, 256)
        pixels = np.asarray(image, int)
        edge = pixels[100:180, round(50 * 1.28)]
        assert np.abs(edge - BLUE).mean() < 40 and np.abs(pixels[150, 120] - 200).max() < 12


def test_times_that_are_unknown_or_fall_back_go_on(tmp_path):
    with video_writer(tmp_path / "seen.mp4", NAMES) as write:
        for number, time_s in enumerate([None, None, 0.01, 5.0]):
            write(recognised(number, time_s))
        write(recognised(4, None, image=False))
    assert [time for time, _ in frames_of(tmp_path / "seen.mp4")] == [0, 40, 41, 5000]


def test_all_frames_have_the_size_of_the_first(tmp_path):
    with video_writer(tmp_path / "seen.mp4", NAMES) as write:
        for number, size in enumerate([(301, 257), (301, 257), (400, 300), (257, 600)]):
            write(recognised(number, number / 10, size=size))
    assert {image.size for _, image in frames_of(tmp_path / "seen.mp4")} == {(540, 258)}


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), video_writer(tmp_path / "seen.mp4", NAMES) as write:
        write(recognised(0, 0.0))
        raise KeyboardInterrupt
    with pytest.raises(UserError, match="there is no frame to show"):
        with video_writer(tmp_path / "seen.mp4", NAMES) as write:
            write(recognised(0, None, image=False))
    assert os.listdir(tmp_path) == []


def test_without_the_package_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'tdgan-jax\[video\]'"):
        with video_writer(tmp_path / "seen.mp4", NAMES):
            pass
