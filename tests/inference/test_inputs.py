import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.errors import UserError
from tdgan_jax.inference import inputs
from tdgan_jax.inference.inputs import InputFile, check_named, count_pictures, named_files
from tests.inference.fake_model import gray


def read_pictures(files, **options):
    """All pictures, read in a thread."""
    with ThreadPoolExecutor(1) as pool:
        yield from inputs.read_pictures(files, pool, **options)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: `photos` with pictures at two depths and other files."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.JPG", "deep/c.pgm", ".hidden/d.png", ".e.png"):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        gray(100).save(path)
    Path("photos/notes.txt").write_text("no picture")
    Path("photos/list[1].png").write_bytes(Path("photos/b.png").read_bytes())
    return tmp_path


def names(arguments, listed=()):
    return [str(file.path) for file in named_files(arguments, listed)]


def test_a_folder_gives_its_pictures_in_order_with_their_place_in_it(folder):
    assert list(named_files(["photos"], ())) == [
        InputFile(Path("photos/a.JPG"), PurePath("a.JPG")),
        InputFile(Path("photos/b.png"), PurePath("b.png")),
        InputFile(Path("photos/list[1].png"), PurePath("list[1].png")),
        InputFile(Path("photos/deep/c.pgm"), PurePath("deep/c.pgm")),
    ]
    assert count_pictures(["photos", "photos/b.png"]) == 5


def test_a_named_file_is_taken_whatever_its_suffix(folder):
    assert names(["photos/notes.txt", "photos/.e.png"]) == ["photos/notes.txt", "photos/.e.png"]


def test_patterns_and_names_that_look_like_patterns(folder):
    assert names(["photos/*.png"]) == ["photos/b.png", "photos/list[1].png"]
    assert names(["photos/**/c.*"]) == ["photos/deep/c.pgm"]
    assert names(["photos/list[1].png"]) == ["photos/list[1].png"]


def test_a_list_on_stdin_is_read_as_it_comes(folder):
    def lines():
        yield b"photos/deep\n"
        yield b"\n"
        yield b"missing.png\r\n"
        raise AssertionError("read too far")

    files = named_files(["photos/b.png", "-"], lines())
    assert [str(next(files).path) for _ in range(3)] == [
        "photos/b.png",
        "photos/deep/c.pgm",
        "missing.png",
    ]
    assert count_pictures(["photos", "-"]) is None


def test_names_that_are_no_text(folder):
    name = os.fsdecode(b"\xff\xfe.png")
    gray(7).save(name)
    (picture,) = read_pictures(named_files(["-"], [b"\xff\xfe.png\n"]))
    assert picture.file.path == Path(name) and picture.image is not None
    (picture,) = read_pictures(named_files(["-"], [b"a\0b.png\n"]))
    assert picture.image is None and "null" in picture.reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody.png"], "there is no file or folder nobody.png"),
        (["photos", "*.tiff"], "nothing matches *.tiff"),
        (["photos", "empty"], "no pictures or videos in the folder empty; of a folder the files"),
        (["empty"], "that end in .3gp .avi .avif .bmp"),
    ],
)
def test_nothing_found_is_an_error_before_any_work(arguments, message, folder):
    Path("empty").mkdir()
    Path("empty/picture").write_bytes(Path("photos/b.png").read_bytes())
    with pytest.raises(UserError, match=re.escape(message)):
        check_named(arguments)


def test_a_missing_file_among_others_is_one_that_cannot_be_read(folder):
    check_named(["nobody.png", "photos"])
    for arguments, listed in ((["nobody.png"], ()), (["-"], [b"nobody.png"])):
        (picture,) = read_pictures(named_files(arguments, listed))
        assert picture.file.path == Path("nobody.png")
        assert (picture.image, picture.reason) == (None, "No such file or directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_named(folder):
    Path("photos/deep").chmod(0)
    with pytest.raises(UserError, match="cannot list the folder photos/deep: Permission denied"):
        check_named(["photos"])
    Path("photos/deep").chmod(0o755)


def test_a_bad_file_does_not_stop_the_others(folder):
    Path("photos/b.png").write_bytes(b"")
    pictures = list(read_pictures(named_files(["photos"], ())))
    assert [picture.image is None for picture in pictures] == [False, True, False, False]
    assert pictures[1].reason == "the file is empty"
    assert all(picture.frame is None and picture.time_s is None for picture in pictures)


class TestVideos:
    """Clips of three frames with rising brightness, made with PyAV."""

    @pytest.fixture
    def clip(self, tmp_path):
        def make(rotation=0):
            av = pytest.importorskip("av")
            path = tmp_path / f"clip{rotation}.mp4"
            with av.open(str(path), "w") as container:
                stream = container.add_stream("mpeg4", rate=5)
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
                if rotation:
                    stream.set_display_rotation(rotation)
                for level in (20, 120, 220):
                    pixels = np.full((48, 64, 3), level, np.uint8)
                    pixels[:24, 32:] = 0  # dark at the upper right
                    for packet in stream.encode(av.VideoFrame.from_ndarray(pixels)):
                        container.mux(packet)
                for packet in stream.encode():
                    container.mux(packet)
            return path

        return make

    def test_frames_have_numbers_times_and_their_picture(self, clip):
        pictures = list(read_pictures(named_files([str(clip())], ())))
        assert [picture.frame for picture in pictures] == [0, 1, 2]
        assert [picture.time_s for picture in pictures] == pytest.approx([0.0, 0.2, 0.4])
        levels = [np.asarray(picture.image)[40, 10].mean() for picture in pictures]
        assert levels == pytest.approx([20, 120, 220], abs=6)
        assert count_pictures([str(clip())]) is None

    def test_every_nth_frame_keeps_its_number(self, clip):
        pictures = list(read_pictures(named_files([str(clip())], ()), every=2))
        assert [picture.frame for picture in pictures] == [0, 2]

    def test_a_frame_stands_upright(self, clip):
        # Turned clockwise, as a player shows it, the dark quarter comes to the lower right.
        picture = next(read_pictures(named_files([str(clip(-90))], ())))
        assert picture.image.size == (48, 64)
        assert np.asarray(picture.image)[48, 36].mean() < 10

    @pytest.mark.parametrize("kept", [0, 100, 700])
    def test_a_damaged_video_is_one_picture_without_an_image(self, kept, clip):
        path = clip()
        path.write_bytes(path.read_bytes()[:kept])
        pictures = list(read_pictures(named_files([str(path)], ())))
        assert pictures[-1].image is None and "\n" not in pictures[-1].reason
        assert pictures[-1].reason

    def test_sound_alone_is_no_video(self, tmp_path):
        av = pytest.importorskip("av")
        path = tmp_path / "sound.avi"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            samples = np.zeros((1, 800), np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = 8000
            for packet in [*stream.encode(frame), *stream.encode()]:
                container.mux(packet)
        (picture,) = read_pictures(named_files([str(path)], ()))
        assert (picture.image, picture.reason) == (None, "it holds no video")

    def test_without_the_package_the_reason_says_how_to_install_it(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "av", None)
        path = tmp_path / "clip.mp4"
        path.write_bytes(b"anything")
        (picture,) = read_pictures(named_files([str(path)], ()))
        assert picture.reason == "reading videos needs PyAV: pip install 'tdgan-jax[video]'"


def test_an_image_is_read_as_rgb(tmp_path):
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "ramp.png")
    (picture,) = read_pictures(named_files([str(tmp_path / "ramp.png")], ()))
    assert picture.image.mode == "RGB"
    assert np.array_equal(np.asarray(picture.image.convert("L")).ravel(), np.arange(256))
