"""`predict` over many files: divided into shards, interrupted, resumed."""

import csv
import fcntl
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tdgan_jax.cli.main import main
from tdgan_jax.inference import unfinished
from tests.inference.clips import two_faces, write_clip
from tests.inference.fake_model import FakeModel, gray

ROOT = Path(__file__).parent.parent.parent
NUM_FILES = 24


class SeesBatch(FakeModel):
    """Its valence is the length of the batch, its arousal the place in it; may fail, or wait."""

    fails_at = None
    seconds_a_batch = 0.0

    def recognise(self, images):
        if len(self.batches) == self.fails_at:
            raise KeyboardInterrupt
        time.sleep(self.seconds_a_batch)
        self.affect = lambda levels: np.array([(len(levels), i) for i in range(len(levels))])
        return super().recognise(images)


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    """The current folder, with `d`: pictures, of which some are damaged, in two folders."""
    monkeypatch.chdir(tmp_path)
    Path("d/deep").mkdir(parents=True)
    for number in range(NUM_FILES):
        folder = "d/deep" if number % 3 else "d"
        path = Path(folder, f"{number:02}.png")
        gray(number * 10, (20 + number, 20)).save(path)
        if number % 7 == 4:
            path.write_bytes(b"no picture")
    return tmp_path


@pytest.fixture
def model(monkeypatch):
    """What `predict` opens, however often; what is complete is written down at once."""
    fake = SeesBatch()
    monkeypatch.setattr("tdgan_jax.cli.predict.open_model", lambda _: fake)
    monkeypatch.setattr(unfinished, "SAVE_SECONDS", 0.0)
    return fake


def predict(*arguments):
    return main(["predict", "--detect", "none", "--batch-size", "4", *map(str, arguments)])


def interrupted(model, fails_at, *arguments):
    model.batches, model.fails_at = [], fails_at
    assert predict(*arguments) == 130
    model.batches, model.fails_at = [], None


def rows_of(path):
    with open(path, newline="") as file:
        return (
            [json.loads(line) for line in file] if path.endswith("l") else [*csv.DictReader(file)]
        )


def without_batch(rows):
    return [row | {"valence": None, "arousal": None} for row in rows]


def files_of(rows):
    return [list(group) for _, group in itertools.groupby(rows, lambda row: row["file"])]


class TestShards:
    @pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
    @pytest.mark.parametrize("given", ["d", "d/**/*.png", "-"])
    def test_together_they_are_one_run(self, given, suffix, model, monkeypatch):
        listed = "".join(f"{path}\n" for path in sorted(Path("d").rglob("*.png"))).encode()

        def run(out, *more):
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(listed)))
            assert predict(given, "--out", out, *more) == 0
            return without_batch(rows_of(out))

        whole = run(f"all{suffix}")
        assert len(whole) == NUM_FILES
        parts = [run(f"{i}{suffix}", "--shard", f"{i}/5") for i in range(5)]
        assert sorted(itertools.chain(*parts), key=str) == sorted(whole, key=str)
        # A file from each in turn is the order of the one run.
        in_turn = itertools.chain(*itertools.zip_longest(*map(files_of, parts), fillvalue=[]))
        assert list(itertools.chain(*in_turn)) == whole

    @pytest.mark.parametrize(
        "shard", ["4/4", "0/0", "-1/4", "1", "/4", "1/", "a/b", "1/4/2", "²/4"]
    )
    def test_what_is_no_shard_is_refused(self, shard, model, capfd):
        assert predict("d", f"--shard={shard}") == 2
        err = capfd.readouterr().err
        assert err.endswith("is no shard; give I/N with I from 0 to N-1, such as 0/4 to 3/4\n")

    def test_one_may_have_no_file_or_a_damaged_one_alone(self, model, capfd):
        given = ["d/00.png", "d/deep/04.png"]
        assert predict(*given, "--shard", "2/3", "--out", "2.csv") == 0
        assert predict(*given, "--shard", "2/3", "--out", "2.jsonl") == 0
        assert rows_of("2.csv") == rows_of("2.jsonl") == []
        assert Path("2.csv").read_text().startswith("file,frame,")
        assert predict(*given, "--shard", "1/3", "--out", "1.csv") == 1  # nothing could be read
        assert [row["status"] for row in rows_of("1.csv")] == ["decode_error"]
        assert capfd.readouterr().out == (
            "wrote 2.csv (no files)\nwrote 2.jsonl (no files)\nwrote 1.csv (1 decode_error)\n"
        )

    def test_of_an_empty_list_there_are_none(self, model, monkeypatch, capfd):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
        assert predict("-", "--shard", "1/3", "--out", "rows.csv") == 1
        assert capfd.readouterr().err == "tdgan-jax: the list on the standard input is empty\n"
        assert os.listdir() == ["d"]

    def test_none_replaces_a_file_of_another(self, model, monkeypatch, capfd):
        Path("rows.csv").write_text("mine")
        listed = b"d/00.png\nrows.csv\nd/03.png\n"
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(listed)))
        assert predict("-", "--shard", "0/2", "--out", "rows.csv", "--overwrite") == 1
        assert "rows.csv is read as well as written" in capfd.readouterr().err
        assert Path("rows.csv").read_text() == "mine" and sorted(os.listdir()) == ["d", "rows.csv"]

    @pytest.mark.parametrize("option", ["--curves=c.png", "--annotate=a.mp4"])
    def test_a_video_is_not_divided(self, option, model, capfd):
        assert predict("clip.mp4", option, "--shard", "0/2") == 2
        assert "--shard divides a list of files" in capfd.readouterr().err


PROGRAM = """
import sys
from tdgan_jax.cli import main, predict
from tdgan_jax.inference import unfinished
from tests.cli.test_predict_many import SeesBatch
SeesBatch.seconds_a_batch, unfinished.SAVE_SECONDS = float(sys.argv[1]), 0.0
predict.open_model = lambda args: SeesBatch()
sys.exit(main.main(["predict", "--detect", "none", "--batch-size", "4", *sys.argv[2:]]))
"""


def program(seconds_a_batch, *arguments):
    command = [sys.executable, "-c", PROGRAM, str(seconds_a_batch), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def wait_for_files(process, progress, number):
    while True:
        assert process.poll() is None, process.stderr.read()
        if progress.exists() and json.loads(progress.read_text())["files"] >= number:
            return
        time.sleep(0.01)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_run_that_is_killed_and_resumed_writes_the_same_bytes(suffix, model, capfd):
    whole, out = Path(f"whole{suffix}"), Path(f"out{suffix}")
    assert predict("d", "--out", whole) == 0
    partial, progress = Path(f"{out}.partial"), Path(f"{out}.partial.json")
    for files, number in ((4, signal.SIGTERM), (12, signal.SIGKILL)):
        with program(0.2, "d", "--out", str(out), "--resume") as process:
            wait_for_files(process, progress, files)
            process.send_signal(number)
        assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL)
        assert partial.exists() and not out.exists()
        with open(partial, "a") as file:  # of the file whose rows were being written
            file.write('d/half,"writ')
    capfd.readouterr()
    assert predict("d", "--out", out, "--resume") == 0
    assert capfd.readouterr().out == f"wrote {out} (3 decode_error, 21 ok)\n"
    assert 0 < sum(model.batches) < NUM_FILES + 12  # of both runs here
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(os.listdir()) == sorted(["d", str(out), str(whole)])


class TestResumed:
    def test_what_is_complete_is_not_done_again(self, model, capfd):
        assert predict("d", "--out", "whole.csv") == 0
        interrupted(model, 3, "d", "--out", "out.csv")
        assert capfd.readouterr().err == (
            "tdgan-jax: the rows of 8 files are kept; the same command with --resume goes on\n"
            "tdgan-jax: interrupted\n"
        )
        assert json.loads(Path("out.csv.partial.json").read_text())["files"] == 8
        assert predict("d", "--out", "out.csv", "--resume", "--quiet") == 0
        assert model.batches and sum(model.batches) <= NUM_FILES - 8
        assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()

    @pytest.mark.parametrize("fails_at", range(1, 8))
    def test_videos_are_done_or_begun_again(self, fails_at, model):
        pytest.importorskip("av")
        clip = write_clip("clip.mp4", [two_faces(number) for number in range(6)])
        # The one that is named twice in a row begins its tracks anew.
        given = ["d/00.png", "d/03.png", clip, clip, "d/06.png", clip, "d/deep/04.png"]
        assert predict(*given, "--out", "whole.jsonl") == 0
        interrupted(model, fails_at, *given, "--out", "out.jsonl")
        assert predict(*given, "--out", "out.jsonl", "--resume") == 0
        assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
        # Pictures, two videos of two batches each, a picture, a video.
        assert sum(model.batches) == 21 - (0, 0, 2, 2, 8, 8, 14, 15)[fails_at]

    def test_a_shard_goes_on_with_its_own_files(self, model, monkeypatch):
        shard = ("d", "--shard", "1/2")
        assert predict(*shard, "--out", "whole.csv") == 0
        interrupted(model, 2, *shard, "--out", "out.csv")
        assert predict(*shard, "--out", "out.csv", "--resume") == 0
        assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()

    def test_without_anything_to_resume_it_begins(self, model):
        assert predict("d", "--out", "out.csv", "--resume") == 0
        assert len(rows_of("out.csv")) == NUM_FILES

    def test_everything_was_complete_but_the_name(self, model, monkeypatch):
        assert predict("d", "--out", "whole.csv") == 0
        replace = os.replace

        def fail(source, target):
            if str(target) == "out.csv":
                raise OSError(5, "Input/output error")
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", fail)
            assert predict("d", "--out", "out.csv") == 1
        assert predict("d", "--out", "out.csv", "--resume") == 0
        assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()

    def test_an_old_output_stays_until_the_new_one_is_complete(self, model):
        Path("out.csv").write_text("old")
        interrupted(model, 3, "d", "--out", "out.csv", "--overwrite")
        assert Path("out.csv").read_text() == "old"
        assert predict("d", "--out", "out.csv", "--resume", "--overwrite") == 0
        assert len(rows_of("out.csv")) == NUM_FILES
        assert sorted(os.listdir()) == ["d", "out.csv"]

    def test_what_is_kept_goes_with_overwrite(self, model):
        interrupted(model, 3, "d", "--out", "out.csv")
        assert predict("d/00.png", "--out", "out.csv", "--overwrite") == 0
        assert len(rows_of("out.csv")) == 1 and sorted(os.listdir()) == ["d", "out.csv"]

    def test_an_interruption_before_anything_is_complete_leaves_nothing(self, model):
        interrupted(model, 0, "d", "--out", "new/out.csv")
        assert os.listdir("new") == []

    def test_a_name_as_long_as_any_has_its_rows_beside_it(self, model):
        out = "é" * 125 + "a.csv"
        interrupted(model, 3, "d", "--out", out)
        assert len(os.listdir()) == 3
        assert predict("d", "--out", out, "--resume") == 0
        assert sorted(os.listdir()) == ["d", out]


class TestRefused:
    @pytest.fixture
    def kept(self, model, capfd):
        """The rows of 8 files of an interrupted run; they are the same after the test."""
        interrupted(model, 3, "d", "--out", "out.csv")
        capfd.readouterr()
        num_bytes = json.loads(Path("out.csv.partial.json").read_text())["num_bytes"]
        complete = Path("out.csv.partial").read_bytes()[:num_bytes]
        yield
        assert Path("out.csv.partial").read_bytes().startswith(complete)
        assert sorted(os.listdir())[-3:] == ["d", "out.csv.partial", "out.csv.partial.json"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["d"],
                "out.csv.partial holds the rows of 8 files of an interrupted run; add --resume",
            ),
            (["d", "--resume", "--every", "2"], "begun with another --every (1, now 2); give the"),
            (["d", "--resume", "--shard", "0/2"], "another --shard (0/1, now 0/2); give the same"),
            (
                ["d", "--resume", "--smallest-face", "20"],
                "another --smallest-face (None, now 20.0)",
            ),
            (["d/deep", "--resume"], "out.csv.partial was begun with another list of files; give"),
            (
                ["d/00.png", "d/03.png", "--resume"],
                "was begun with another list of files; give the",
            ),
        ],
    )
    def test_another_command(self, arguments, message, kept, capfd):
        assert predict(*arguments, "--out", "out.csv") == 1
        err = capfd.readouterr().err
        assert message in err and err.count("\n") == 1

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("digest", "other", "was begun with another model; give the same, or add --overwrite"),
            (
                "expression_names",
                ("a", "b", "c"),
                "was begun with another set of columns; give the",
            ),
        ],
    )
    def test_another_model(self, field, value, message, kept, model, monkeypatch, capfd):
        monkeypatch.setattr(model, field, value)
        assert predict("d", "--out", "out.csv", "--resume") == 1
        assert message in capfd.readouterr().err

    @pytest.mark.parametrize("resume", [[], ["--resume"], ["--overwrite"]])
    def test_rows_that_another_process_writes(self, resume, kept, capfd):
        Path("out.csv.partial.json").write_text(
            json.dumps(json.loads(Path("out.csv.partial.json").read_text()) | {"files": 0})
        )  # it has just begun
        with open("out.csv.partial") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert predict("d", "--out", "out.csv", *resume) == 1
        assert capfd.readouterr().err == (
            "tdgan-jax: another process writes out.csv; name another output, or wait\n"
        )

    @pytest.mark.parametrize("progress", [None, "", "{}", '{"files": -1}', "[]", "long"])
    @pytest.mark.parametrize("option", ["--resume", "--overwrite"])
    def test_what_is_damaged_or_of_somebody_else(self, option, progress, model, capfd):
        interrupted(model, 3, "d", "--out", "out.csv")
        known = json.loads(Path("out.csv.partial.json").read_text())
        Path("out.csv.partial.json").unlink()
        if progress is not None:
            longer = json.dumps(known | {"num_bytes": 10**6})
            Path("out.csv.partial.json").write_text(longer if progress == "long" else progress)
        Path("out.csv.partial").write_text("mine")
        capfd.readouterr()
        assert predict("d", "--out", "out.csv", option) == 1
        err = capfd.readouterr().err
        assert "out.csv.partial is in the way and cannot be gone on with (" in err
        assert err.count("\n") == 1 and Path("out.csv.partial").read_text() == "mine"

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda p: os.symlink("d/00.png", p)])
    def test_what_is_no_file(self, make, model, capfd):
        make("out.csv.partial")
        before = Path("d/00.png").read_bytes()
        assert predict("d", "--out", "out.csv", "--overwrite") == 1
        assert "out.csv.partial is in the way" in capfd.readouterr().err
        assert Path("d/00.png").read_bytes() == before

    def test_what_is_complete(self, model, capfd):
        Path("out.csv").write_text("mine")
        assert predict("d", "--out", "out.csv", "--resume") == 0
        assert capfd.readouterr().err == (
            "tdgan-jax: out.csv is complete, there is nothing to resume\n"
        )
        assert predict("d", "--out", "out.csv", "--resume", "--quiet") == 0
        assert capfd.readouterr().err == "" and Path("out.csv").read_text() == "mine"

    @pytest.mark.parametrize("more", [[], ["--out", "o.csv", "--annotate", "seen"]])
    def test_what_has_no_rows_to_resume(self, more, model, capfd):
        assert predict("d", "--resume", *more) == 2
        assert "--resume goes on with a file of rows: it takes --out, " in capfd.readouterr().err
