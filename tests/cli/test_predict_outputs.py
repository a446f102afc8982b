"""What `predict` writes: no input is replaced, no picture is lost, videos."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.cli.main import main
from tdgan_jax.inference import annotated_pictures
from tests.inference.clips import frames_of, two_faces, write_clip
from tests.inference.fake_model import gray


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch, model):
    """The current folder, with a dark and a bright picture in `d`."""
    monkeypatch.chdir(tmp_path)
    Path("d").mkdir()
    gray(0).save("d/x.png")
    gray(255).save("d/y.png")
    return tmp_path


def predict(*arguments, stdin=None, monkeypatch=None):
    if stdin is not None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    return main(["predict", "--detect", "none", *map(str, arguments)])


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


class TestInputsAreKept:
    @pytest.mark.parametrize("link", [os.link, os.symlink, None])
    def test_an_annotated_picture_never_takes_the_place_of_one_that_was_read(
        self, link, monkeypatch, tmp_path
    ):
        Path("seen").mkdir()
        if link is None:  # the very file, named on stdin
            os.rename("d/x.png", "seen/x.png")
            listed = b"seen/x.png\nd/y.png\n"
        else:
            link(tmp_path / "d" / "x.png", "seen/x.png")
            listed = b"d/x.png\nd/y.png\n"
        before = Path("seen/x.png").read_bytes()
        options = ("--annotate", "seen", "--overwrite", "--out", "rows.csv")
        assert predict("-", *options, stdin=listed, monkeypatch=monkeypatch) == 0
        assert Path("seen/x.png").read_bytes() == before
        assert sorted(os.listdir("seen")) == ["x.png", "x_2.png", "y.png"]

    @pytest.mark.parametrize("link", [None, os.link, os.symlink])
    @pytest.mark.parametrize("on_stdin", [False, True])
    def test_rows_never_take_the_place_of_a_file_that_is_read(
        self, link, on_stdin, monkeypatch, tmp_path, capfd
    ):
        Path("in.csv").write_text("mine")
        if link is not None:
            link(tmp_path / "in.csv", "out.csv")
        out = "in.csv" if link is None else "out.csv"
        given, stdin = (["-"], b"d/x.png\nin.csv\n") if on_stdin else (["d", "in.csv"], None)
        before = contents(".")
        assert (
            predict(*given, "--out", out, "--overwrite", stdin=stdin, monkeypatch=monkeypatch) == 1
        )
        assert capfd.readouterr().err == (
            f"tdgan-jax: {out} is read as well as written; name another output\n"
        )
        assert contents(".") == before

    @pytest.mark.parametrize(
        ("command", "option"),
        [
            (["predict", "d"], "metrics.jsonl"),
            (["transfer", "--face", "d/x.png", "--expression", "d/y.png"], "samples/1.png"),
            (["interpolate", "--face", "d/x.png", "--expression", "d/y.png", "d/x.png"], "a.gif"),
        ],
    )
    def test_nothing_in_the_models_folder_is_replaced(self, command, option, capfd):
        target = Path("run", option)
        target.parent.mkdir(parents=True)
        target.write_text("mine")
        given = ["--model", "run", "--detect", "none", "--overwrite"]
        assert main([*command, *given, "--out", str(target)]) == 1
        assert "is read as well as written" in capfd.readouterr().err
        assert target.read_text() == "mine"

    def test_an_animation_never_takes_the_place_of_a_face(self, capfd):
        gray(3).save("face.gif")
        os.link("face.gif", "way.gif")
        given = ["--face", "face.gif", "--expression", "d/x.png", "d/y.png", "--overwrite"]
        assert main(["interpolate", *given, "--detect", "none", "--out", "way.gif"]) == 1
        assert "way.gif is read as well as written" in capfd.readouterr().err

    def test_an_export_never_takes_the_place_of_its_source(self, capfd):
        for name in ("m", "m/inner"):
            Path(name).mkdir()
            Path(name, "model.json").write_text("{}")
        for source in ("m", "m/inner"):
            given = ["--out", "m", "--overwrite"]
            assert main(["export", source, "--format", "safetensors", *given]) == 1
            assert main(["import", source, "--model", "tdgan", *given]) == 1
        assert capfd.readouterr().err.count("m is read as well as written") == 4

    @pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
    def test_a_link_to_nothing_is_no_place_for_an_output(self, overwrite, capfd):
        pair = ["--face", "d/x.png", "--expression", "d/y.png"]
        for command, suffix in (
            (["predict", "d", "--annotate", "seen", "--out"], ".csv"),
            (["predict", "d", "--annotate"], ""),
            (["transfer", *pair, "--out"], ".png"),
            (["interpolate", *pair, "d/x.png", "--out"], ".gif"),
            (["interpolate", *pair, "d/x.png", "--out", "w.gif", "--strip"], ".png"),
            (["attention", "d/x.png", "--query", "0.5,0.5", "--out"], ".png"),
        ):
            link = f"link{suffix}"
            if not os.path.lexists(link):
                os.symlink("nowhere", link)
            assert main([*command, link, *overwrite]) == 1, command
            assert f"{link} is a link to nowhere, which is not there" in capfd.readouterr().err
            assert os.readlink(link) == "nowhere" and not os.path.exists("seen")


class TestAnnotatedPictures:
    def test_any_number_of_pictures_may_have_one_name(self):
        for number in range(90):
            Path("many", str(number)).mkdir(parents=True)
            gray(number).save(f"many/{number}/x.png")
        files = [f"many/{number}/x.png" for number in range(90)]
        assert predict(*files, "--annotate", "seen", "--out", "rows.csv") == 0
        names = ["x.png", *(f"x_{number}.png" for number in range(2, 91))]
        assert sorted(os.listdir("seen")) == sorted(names)

    def test_names_are_cut_where_they_are_too_long(self):
        longest = "é" * 120 + "a" * 11  # with its suffix 255 bytes
        for folder in ("e", "f"):
            Path(folder).mkdir()
            gray(0).save(f"{folder}/{longest}.png")
            os.rename(f"{folder}/{longest}.png", f"{folder}/{longest}.jpg")
        os.rename(f"e/{longest}.jpg", f"e/{longest}abcd")  # no suffix: one is added
        given = ["e/" + longest + "abcd", f"f/{longest}.jpg", f"f/{longest}.jpg"]
        assert predict(*given, "--annotate", "seen", "--out", f"{longest}.csv") == 0
        names = os.listdir("seen")
        assert len(names) == 3 and all(len(os.fsencode(name)) <= 255 for name in names)
        assert len(rows_of(f"{longest}.csv")) == 3

    def test_one_that_fails_does_not_lose_the_others(self, monkeypatch, capfd):
        draw = annotated_pictures.annotate

        def failing(image, *args):
            if image.getpixel((0, 0))[0] == 0:
                raise OSError(36, "File name too long")
            return draw(image, *args)

        monkeypatch.setattr(annotated_pictures, "annotate", failing)
        assert predict("d", "--annotate", "seen", "--out", "rows.csv") == 0
        assert os.listdir("seen") == ["y.png"] and len(rows_of("rows.csv")) == 2
        assert capfd.readouterr().err == (
            "tdgan-jax: 1 annotated pictures could not be written; the first: x.png: File name too "
            "long\n"
        )

    def test_a_full_disk_is_the_end(self, monkeypatch, capfd):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(annotated_pictures, "annotate", full)
        assert predict("d", "--annotate", "seen", "--out", "rows.csv") == 1
        assert capfd.readouterr().err == "tdgan-jax: cannot write seen: No space left on device\n"
        assert os.listdir() == ["d"]

    def test_folders_and_files_of_one_name_stand_beside_each_other(self):
        Path("seen/x.png").mkdir(parents=True)
        Path("seen/deep").write_text("mine")
        Path("d/deep").mkdir()
        gray(9).save("d/deep/z.png")
        assert predict("d", "--annotate", "seen", "--overwrite", "--out", "rows.csv") == 0
        found = sorted(str(path) for path in Path("seen").rglob("*") if path.is_file())
        assert found == ["seen/deep", "seen/deep_2/z.png", "seen/x_2.png", "seen/y.png"]


class TestNames:
    def test_a_class_may_be_called_as_a_column(self, model, monkeypatch):
        monkeypatch.setattr(model, "expression_names", ("label", "file", "p_label"))
        assert predict("d", "--out", "rows.csv") == 0
        dark, bright = rows_of("rows.csv")
        assert (dark["file"], dark["status"], dark["label"]) == ("d/x.png", "ok", "label")
        assert float(dark["p_p_label"]) > 0.9 and float(bright["p_label"]) > 0.9
        assert list(dark)[-3:] == ["p_p_label", "p_file", "p_label"]

    def test_names_are_escaped_in_rows_and_messages(self, capfd):
        name = os.fsdecode(b"d/\x1b[2J\n\xff.png")
        os.rename("d/x.png", name)
        Path(name).write_bytes(b"")
        assert predict(name, "d/y.png") == 0
        out = capfd.readouterr().out
        assert "\x1b" not in out and "d/\\x1b[2J\\n\\xff.png," in out
        assert predict(name) == 1
        err = capfd.readouterr().err
        assert err == "tdgan-jax: d/\\x1b[2J\\n\\xff.png: the file is empty\n"

    def test_a_class_with_control_characters_can_be_drawn(self, model, monkeypatch):
        monkeypatch.setattr(model, "expression_names", ("a\nb", "c\x1b[2J", "d\ud800"))
        assert predict("d", "--annotate", "seen", "--out", "rows.csv") == 0
        assert list(rows_of("rows.csv")[0])[-3:] == ["a\\nb", "c\\x1b[2J", "d\\ud800"]


class TestVideos:
    @pytest.fixture
    def clip(self, photos):
        times = [0, 200, 300, 700, 800, 1000]
        return write_clip("clip.mp4", [two_faces(number) for number in range(6)], times_ms=times)

    def test_faces_keep_their_track_and_are_shown_in_the_annotated_video(self, clip):
        command = ["predict", clip, "--out", "rows.csv", "--annotate", "seen.mp4", "--quiet"]
        assert main(command) == 0
        rows = rows_of("rows.csv")
        assert [row["track"] for row in rows] == ["0", "1"] * 6
        assert [row["frame"] for row in rows] == [str(number // 2) for number in range(12)]
        places = [float(row["left"]) for row in rows[::2]]
        assert places == sorted(places) and places[-1] - places[0] > 40
        frames = frames_of("seen.mp4")
        assert [time for time, _ in frames] == [0, 200, 300, 700, 800, 1000]
        assert [round(float(row["time_s"]) * 1000) for row in rows[::2]] == [t for t, _ in frames]
        assert sorted(os.listdir()) == ["clip.mp4", "d", "rows.csv", "seen.mp4"]

    def test_every_nth_frame(self, clip):
        given = ["--every", "2", "--annotate", "seen.mkv", "--out", "rows.csv"]
        assert predict(clip, *given) == 0
        rows = rows_of("rows.csv")
        assert [(row["frame"], row["track"]) for row in rows] == [
            ("0", "0"),
            ("2", "0"),
            ("4", "0"),
        ]
        assert [time for time, _ in frames_of("seen.mkv")] == [0, 300, 800]

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["d", "--annotate", "seen.mp4"], 2, "--annotate seen.mp4 takes one video"),
            (["clip.mp4", "d", "--annotate", "seen.mov"], 2, "takes one video"),
            (["-", "--annotate", "seen.mp4"], 2, "takes one video"),
            (["clip.mp4", "--annotate", "clip.mp4"], 1, "clip.mp4 exists; add --overwrite"),
            (["clip.mp4", "--annotate", "clip.mp4", "--overwrite"], 1, "read as well as written"),
            (["clip.mp4", "--annotate", "hard.mp4", "--overwrite"], 1, "read as well as written"),
            (["empty.mp4", "--annotate", "seen.mp4"], 1, "empty.mp4: "),
        ],
    )
    def test_what_cannot_be_annotated_is_said(self, arguments, code, message, clip, capfd):
        os.link(clip, "hard.mp4")
        Path("empty.mp4").write_bytes(b"")
        before = contents(".")
        assert predict(*arguments) == code
        out, err = capfd.readouterr()
        assert out.count("\n") <= 1 and message in err and "Traceback" not in err
        assert contents(".") == before

    def test_frames_of_a_damaged_video_are_kept(self, capfd):
        random = np.random.default_rng(0)
        noise = random.integers(0, 256, (40, 96, 128, 3), np.uint8)
        write_clip("clip.avi", [Image.fromarray(pixels) for pixels in noise])
        whole = Path("clip.avi").read_bytes()
        Path("clip.avi").write_bytes(whole[: len(whole) // 2])
        assert predict("clip.avi", "--annotate", "seen.mp4", "--out", "rows.csv") == 0
        rows = rows_of("rows.csv")
        assert len(frames_of("seen.mp4")) == sum(row["status"] == "ok" for row in rows) > 5
