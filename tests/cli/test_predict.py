import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.cli.main import main
from tdgan_jax.inference import faces as inference_faces
from tdgan_jax.inference.faces import FaceCrop
from tests.inference.fake_model import gray

ROOT = Path(__file__).parent.parent.parent
HEADER = (
    "file,frame,time_s,face,track,left,top,right,bottom,score,left_eye_x,left_eye_y,right_eye_x,"
    "right_eye_y,nose_x,nose_y,mouth_left_x,mouth_left_y,mouth_right_x,mouth_right_y,status,reason,"
    "label,valence,arousal,dark,middle,bright"
)


@pytest.fixture
def photos(tmp_path, monkeypatch, model):
    """The current folder, with `photos` that hold a dark, a damaged and a bright picture."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    gray(0).save("photos/a.png")
    Path("photos/b.png").write_bytes(b"no picture")
    gray(255, (30, 10)).save("photos/c.png")
    return tmp_path


def predict(*arguments):
    return main(["predict", "--detect", "none", *map(str, arguments)])


def rows_in(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_rows_go_to_stdout_as_csv(photos, capfd):
    assert predict("photos") == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[0] == HEADER
    dark, damaged, bright = rows_in(out)
    assert (dark["file"], dark["status"], dark["label"]) == ("photos/a.png", "ok", "dark")
    assert [float(dark[side]) for side in ("left", "top", "right", "bottom")] == [0, 0, 20, 20]
    assert float(dark["dark"]) == pytest.approx(1 / (1 + np.exp(-4) + np.exp(-8)), abs=1e-6)
    assert sum(float(dark[name]) for name in ("dark", "middle", "bright")) == pytest.approx(
        1, abs=1e-5
    )
    assert (dark["frame"], dark["time_s"], dark["reason"]) == ("", "", "")
    assert damaged["status"] == "decode_error" and "not a readable image" in damaged["reason"]
    assert damaged["label"] == damaged["dark"] == damaged["left"] == ""
    assert (bright["label"], bright["right"], bright["bottom"]) == ("bright", "30.0", "10.0")
    assert err == (
        "tdgan-jax: 1 of 3 pictures could not be read; the first: photos/b.png: not a readable "
        "image (damaged, or of an unknown format)\n"
    )


def test_csv_and_json_lines_say_the_same(photos, capfd):
    assert predict("photos", "--out", "rows.csv") == 0
    assert predict("photos", "--out", "deep/rows.jsonl") == 0
    out, err = capfd.readouterr()
    assert out == (
        "wrote rows.csv (1 decode_error, 2 ok)\nwrote deep/rows.jsonl (1 decode_error, 2 ok)\n"
    )
    assert err == ""
    from_csv = rows_in(Path("rows.csv").read_text())
    from_json = [json.loads(line) for line in Path("deep/rows.jsonl").read_text().splitlines()]
    assert [list(row) for row in from_json] == [HEADER.split(",")] * 3
    for row, other in zip(from_csv, from_json, strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in other.items()}
    assert from_json[1]["label"] is None and isinstance(from_json[0]["dark"], float)


def test_every_face_has_a_row_and_a_picture_without_one_too(photos, monkeypatch, capfd):
    def halves(image):
        width, height = image.size
        if width == height:
            return []
        return [
            FaceCrop((0, 0, width / 2, height), image.crop((0, 0, width // 2, height))),
            FaceCrop((width / 2, 0, width, height), gray(0)),
        ]

    def search(detect, crop, smallest):
        return lambda images: [halves(image) for image in images]

    monkeypatch.setattr(inference_faces, "face_search", search)
    assert predict("photos") == 0
    rows = rows_in(capfd.readouterr().out)
    assert [row["status"] for row in rows] == ["no_face", "decode_error", "ok", "ok"]
    assert [row["label"] for row in rows] == ["", "", "bright", "dark"]
    assert [row["left"] for row in rows] == ["", "", "0.0", "15.0"]


def test_the_only_picture_is_damaged(photos, capfd):
    assert predict("photos/b.png", "--out", "rows.csv") == 1
    assert predict("photos/b.png") == 1
    out, err = capfd.readouterr()
    assert out == ""
    line = "tdgan-jax: photos/b.png: not a readable image (damaged, or of an unknown format)\n"
    assert err == 2 * line
    assert sorted(os.listdir()) == ["photos"]


def test_that_nothing_could_be_read_is_a_failure(photos, capfd):
    assert predict("photos/nothing.png", "photos/b.png") == 1
    out, err = capfd.readouterr()
    assert [row["status"] for row in rows_in(out)] == ["decode_error"] * 2
    line = "2 of 2 pictures could not be read; the first: photos/nothing.png: "
    assert err.startswith(f"tdgan-jax: {line}") and err.count("\n") == 1
    assert predict("photos/nothing.png", "photos/b.png", "--out", "rows.csv") == 1
    assert capfd.readouterr() == ("wrote rows.csv (2 decode_error)\n", err)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.png"], 1, "there is no file or folder nothing.png"),
        (["photos", "--out", "rows.txt"], 2, "--out rows.txt: the name must end in .csv or .jsonl"),
        (["photos", "--out", "there.csv"], 1, "there.csv exists; add --overwrite to replace it"),
        (["photos", "--out", "folder.csv"], 1, "folder.csv is a folder; --out takes the name of"),
        (["photos", "--annotate", "photos"], 1, "photos is not empty; add --overwrite to replace"),
        (["photos", "--annotate", "photos", "--overwrite"], 1, "photos is read as well as written"),
        (["photos", "--annotate", "there.csv"], 1, "there.csv is a file; --annotate takes"),
        (["photos", "--out", "there.csv/rows.csv"], 1, "cannot write there.csv/rows.csv: "),
        (["photos", "--every", "0"], 2, "'0' is not a whole number above 0"),
        (["photos", "--batch-size", "many"], 2, "'many' is not a whole number above 0"),
        ([], 2, "the following arguments are required"),
    ],
)
def test_what_cannot_be_done_says_why(arguments, code, message, photos, capfd):
    Path("there.csv").write_text("mine")
    Path("folder.csv").mkdir()
    assert predict(*arguments) == code
    out, err = capfd.readouterr()
    assert out == "" and message in err and "Traceback" not in err
    assert Path("there.csv").read_text() == "mine"
    assert sorted(os.listdir()) == ["folder.csv", "photos", "there.csv"]


def test_overwrite_replaces(photos):
    Path("rows.csv").write_text("old")
    assert predict("photos", "--out", "rows.csv", "--overwrite") == 0
    assert Path("rows.csv").read_text().startswith(HEADER)


def test_a_list_on_stdin(photos, monkeypatch, capfd):
    def give(content):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    give(b"photos/c.png\nmissing.png\n")
    assert predict("-") == 0
    rows = rows_in(capfd.readouterr().out)
    assert [row["status"] for row in rows] == ["ok", "decode_error"]
    assert rows[1]["reason"] == "No such file or directory"
    assert predict("photos/c.png", "missing.png") == 0
    assert rows_in(capfd.readouterr().out) == rows  # as if they had been listed
    give(b"\n")
    assert predict("-") == 1
    assert capfd.readouterr().err == "tdgan-jax: the list on the standard input is empty\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_as_editors_save_it(encoding, photos, monkeypatch, capfd):
    content = "photos/c.png\r\nphotos/a.png\r\n".encode(encoding)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert predict("-") == 0
    rows = rows_in(capfd.readouterr().out)
    assert [row["file"] for row in rows] == ["photos/c.png", "photos/a.png"]


def test_what_a_folder_holds_besides_is_counted(photos, monkeypatch, capfd):
    monkeypatch.setattr("tdgan_jax.data.picture_files.READS_HEIC", False)
    for name in ("1.heic", "2.heic", "notes.txt", ".hidden.txt"):
        Path("photos", name).write_bytes(b"x")
    gray(9).save("photos/d.jfif", format="JPEG")
    assert predict("photos", "--out", "rows.csv") == 0
    line = "2 .heic (read with pillow-heif: pip install 'tdgan-jax[heic]'), 1 .txt"
    assert capfd.readouterr().err == f"tdgan-jax: not read in the folders: {line}\n"
    assert "photos/d.jfif" in Path("rows.csv").read_text()
    assert predict("photos", "--out", "rows.csv", "--overwrite", "--quiet") == 0
    assert capfd.readouterr().err == ""


def test_annotated_pictures_keep_their_place(photos, capfd):
    Path("photos/deep").mkdir()
    gray(128, (400, 300)).save("photos/deep/a.png")
    gray(128).save("photos/deep/a.jpg")
    os.link("photos/a.png", "v1.5")
    assert predict("photos", "photos/deep/a.png", "v1.5", "--annotate", "seen") == 0
    assert "tdgan-jax: wrote annotated pictures into seen\n" in capfd.readouterr().err
    written = sorted(str(path) for path in Path("seen").rglob("*.png"))
    assert written == [
        "seen/a.png",
        "seen/a_2.png",
        "seen/c.png",
        "seen/deep/a.png",
        "seen/deep/a_2.png",
        "seen/v1.5.png",
    ]
    for path in written:
        with Image.open(path) as image:
            assert image.mode == "RGB" and image.height >= 256 and image.width > image.height
    assert sorted(os.listdir()) == ["photos", "seen", "v1.5"]


def test_annotating_again_leaves_other_files_alone(photos, capfd):
    Path("seen").mkdir()
    Path("seen/mine.txt").write_text("mine")
    options = ["--annotate", "seen", "--overwrite", "--out", "rows.csv"]
    assert predict("photos", *options) == 0
    assert sorted(os.listdir("seen")) == ["a.png", "c.png", "mine.txt"]
    assert capfd.readouterr() == (
        "wrote rows.csv and annotated pictures into seen (1 decode_error, 2 ok)\n",
        "",
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing(error, photos, model, monkeypatch):
    recognise = model.recognise

    def fail_later(images):
        if model.batches:
            raise error
        return recognise(images)

    monkeypatch.setattr(model, "recognise", fail_later)
    arguments = ["photos", "--batch-size", 1, "--out", "rows.csv", "--annotate", "seen"]
    if error is KeyboardInterrupt:
        assert predict(*arguments) == 130
    else:
        with pytest.raises(error):
            predict(*arguments)
    assert model.batches == [1]
    assert sorted(os.listdir()) == ["photos"]


def test_batches_hold_at_most_so_many_faces(photos, model):
    for number in range(5):
        gray(number * 50).save(f"photos/more{number}.png")
    assert predict("photos", "--batch-size", 3, "--out", "rows.csv") == 0
    assert sum(model.batches) == 7 and max(model.batches) == 3
    labels = [row["label"] for row in rows_in(Path("rows.csv").read_text())]
    assert labels == ["dark", "", "bright", "dark", "dark", "middle", "middle", "bright"]


PROGRAM = """
import sys, time
from tdgan_jax.cli import main, predict
from tests.inference.fake_model import FakeModel
class Slow(FakeModel):
    def recognise(self, images):
        time.sleep(float(sys.argv[1]))
        return super().recognise(images)
predict.open_model = lambda args: Slow()
sys.exit(main.main(["predict", "--detect", "none", *sys.argv[2:]]))
"""


def program(seconds_a_batch, *arguments, **streams):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(seconds_a_batch), *arguments]
    return subprocess.Popen(command, env=environment, **streams)


def test_a_reader_that_leaves_is_no_error(photos):
    for number in range(2000):
        os.link("photos/a.png", f"photos/x{number}.png")
    with program(0, "photos", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().decode().strip() == HEADER
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_full_disk_is_one_line(photos):
    with open("/dev/full", "w") as full:
        with program(0, "photos", stdout=full, stderr=subprocess.PIPE) as process:
            error = process.stderr.read().decode()
    assert process.returncode == 1
    assert error == "tdgan-jax: cannot write the standard output: No space left on device\n"


def test_sigterm_leaves_nothing(photos):
    arguments = ["photos", "--out", "rows.csv", "--annotate", "seen", "--batch-size", "1"]
    with program(0.5, *arguments, stderr=subprocess.PIPE) as process:
        while not list(photos.glob(".rows.csv.*.tmp")):  # until the first rows are there
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read() == b""
    assert process.returncode == 143
    assert sorted(os.listdir()) == ["photos"]


@pytest.mark.parametrize(("seconds", "quiet"), [(0.6, False), (0.6, True), (0, False)])
def test_a_bar_shows_on_a_terminal_after_two_seconds(seconds, quiet, photos):
    for name in "xyz":
        gray(3).save(f"photos/{name}.png")
    terminal, stderr = pty.openpty()
    termios.tcsetwinsize(stderr, (24, 80))
    arguments = ["photos", "--batch-size", "1", "--out", "rows.csv", *["--quiet"] * quiet]
    with program(seconds, *arguments, stdout=subprocess.DEVNULL, stderr=stderr) as process:
        os.close(stderr)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 1024)
            except OSError:  # The program has closed the terminal.
                break
    os.close(terminal)
    assert process.returncode == 0
    assert (b"/6 [" in shown) is (seconds > 0 and not quiet)
    assert quiet is False or shown == b""


def test_an_unknown_platform_of_jax_is_named_in_one_line(photos):
    done = subprocess.run(
        [sys.executable, "-m", "tdgan_jax", "predict", "photos", "--detect", "none"],
        env=os.environ | {"JAX_PLATFORMS": "none_such", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("tdgan-jax: no devices with JAX_PLATFORMS='none_such': ")
    assert done.stderr.count("\n") == 1
