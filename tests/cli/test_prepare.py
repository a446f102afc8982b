import os
import pty
import re
import subprocess
import sys
import termios
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.cli.main import main
from tdgan_jax.errors import UsageError, UserError
from tests.owners_files import picture, write_tree


@pytest.fixture
def faces(tmp_path):
    """A folder with two people of att_faces."""
    for subject in (1, 2):
        folder = tmp_path / "faces" / f"s{subject}"
        folder.mkdir(parents=True)
        for number in range(1, 11):
            pixels = np.full((112, 92), 10 * subject + number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.pgm")
    return tmp_path / "faces"


def prepare(faces, tmp_path, *more):
    return ["prepare", "att_faces", f"--source={faces}", f"--data-dir={tmp_path / 'data'}", *more]


def test_prepare_prints_the_splits_and_nothing_else(faces, tmp_path, capfd):
    assert main(prepare(faces, tmp_path, "--partial")) == 0
    out, err = capfd.readouterr()
    assert err == ""
    first, *table = out.splitlines()
    assert first.startswith(f"prepared att_faces/1.0.0 in {tmp_path}/data/att_faces/1.0.0 (")
    assert table == [
        "              train",
        "images           20",
        "identities        2",
        "partial: yes",
    ]


def test_expressions_are_counted_by_class(tmp_path, capfd):
    for file, level in (
        ("train/happy/Training_1", 1),
        ("train/sad/Training_2", 2),
        ("train/sad/Training_3", 3),
        ("test/happy/PublicTest_4", 2),
    ):
        path = tmp_path / "archive" / f"{file}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        ramp = np.tile(np.arange(48, dtype=np.uint8), (48, 1))
        Image.fromarray(ramp + np.uint8(20 * level)).save(path)
    command = ["prepare", "fer2013", "--source", str(tmp_path / "archive"), "--partial"]
    options = ["--config", "without_private_test", "--data-dir", str(tmp_path / "data")]
    assert main([*command, *options]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["train", "test"],
        ["surprise", "0", "0"],
        ["fear", "0", "0"],
        ["disgust", "0", "0"],
        ["happiness", "1", "1"],
        ["sadness", "1", "0"],
        ["anger", "0", "0"],
        ["neutral", "0", "0"],
        ["images", "2", "1"],
        ["partial:", "yes"],
        ["test", "images", "duplicated", "in", "train:", "1"],
        ["removed", "from", "train:", "1"],
        # Ramps of another brightness look alike.
        ["near", "duplicates", "across", "splits:", "2"],
        ["tables", "of", "what", "was", "found,", "in", "that", "folder:"]
        + ["near_duplicates.csv,", "removed_duplicates.csv"],
    ]


def test_own_images_with_a_pattern_for_the_subjects(tmp_path, capfd):
    for seed, name in enumerate(f"{c}/S{p}_{c}.png" for p in range(3) for c in ("happy", "Sad")):
        write_tree(tmp_path / "mine", {name: picture(seed)})
    command = ["prepare", "image_folder", "--source", str(tmp_path / "mine")]
    options = ["--subject-pattern", r"^(S\d+)_", "--data-dir", str(tmp_path / "data")]
    assert main([*command, *options]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["fold_0", "fold_1", "fold_2"],
        ["happiness", "1", "1", "1"],
        ["sadness", "1", "1", "1"],
        ["images", "2", "2", "2"],
        ["identities", "1", "1", "1"],
        ["subject", "pattern:", r"^(S\d+)_"],
        ["folds:", "3,", "because", "there", "are", "only", "3", "subjects"],
        ["tables", "of", "what", "was", "found,", "in", "that", "folder:", "folds.csv"],
    ]
    folds = (tmp_path / "data" / "image_folder" / "1.0.0" / "folds.csv").read_text().splitlines()
    assert folds[0] == "subject,fold,images,happiness,sadness"
    assert len(folds) == 4
    # The same again is fine; other people would be another dataset.
    assert main([*command, *options]) == 0
    assert main([*command, "--data-dir", str(tmp_path / "data")]) == 1
    out, err = capfd.readouterr()
    assert out.count("\n") == err.count("\n") == 1
    assert r"but with subject pattern ^(S\d+)_ instead of none; build it again with --ov" in err


def test_second_time_says_that_it_is_there(faces, tmp_path, capfd):
    assert main(prepare(faces, tmp_path, "--partial")) == 0
    capfd.readouterr()
    assert main(prepare(faces, tmp_path, "--partial")) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 1
    assert "att_faces is already prepared in" in out and "--overwrite" in out
    assert main(prepare(tmp_path / "nowhere", tmp_path, "--partial")) == 1
    assert capfd.readouterr().err == f"tdgan-jax: the source {tmp_path}/nowhere does not exist\n"
    assert main(prepare(faces, tmp_path)) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "but with partial yes instead of no; build it again with --overwrite, or give" in err
    assert main(prepare(faces, tmp_path, "--partial", "--overwrite")) == 0


def test_failure_is_one_line_and_exit_code_1(faces, tmp_path, capfd):
    assert main(prepare(faces, tmp_path)) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        "tdgan-jax: att_faces: s3/1.pgm: the file is missing; replace the file, "
        "or leave such files out with --on-bad-file skip\n"
    )


def test_skipped_files_are_mentioned(faces, tmp_path, capfd):
    (faces / "s2" / "4.pgm").write_bytes(b"")
    assert main(prepare(faces, tmp_path, "--partial", "--on-bad-file", "skip")) == 0
    assert "skipped files: 1" in capfd.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "data_dir",
    [
        "/proc/none/data",
        "/dev/null/data",
        "{tmp_path}/file",
        "{tmp_path}/file/x",
        "a\0b",
        "x" * 300,
    ],
)
def test_a_folder_that_cannot_be_made_is_one_line(data_dir, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    source = write_tree(tmp_path / "mine", {"happy/1.png": picture(1)})
    command = ["prepare", "image_folder", "--source", str(source)]
    assert main([*command, "--data-dir", data_dir.format(tmp_path=tmp_path)]) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1
    assert re.match("tdgan-jax: (cannot write image_folder to |the name of the folder)", err)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "mine"}


@pytest.mark.parametrize("name", ["../outside/1.png", "/tmp_of_nobody/1.png", "..\\..\\1.png"])
def test_names_in_a_zip_file_lead_nowhere_else(name, tmp_path, capfd):
    (tmp_path / "deep").mkdir()
    with zipfile.ZipFile(tmp_path / "deep" / "s.zip", "w") as archive:
        for seed, inner in enumerate((name, "happy/2.png")):
            archive.writestr(inner, picture(seed))
    command = ["prepare", "image_folder", "--source", str(tmp_path / "deep" / "s.zip")]
    main([*command, "--data-dir", str(tmp_path / "deep" / "data")])
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert "Traceback" not in capfd.readouterr().err


def test_what_is_left_out_is_said(tmp_path, capfd):
    more = {"sad/2.psd": b"x", "notes.txt": b"x"}
    files = {"happy/1.png": picture(0), "sad/1.jfif": picture(1, suffix="JPEG")}
    source = write_tree(tmp_path / "mine", files | more)
    command = ["prepare", "image_folder", "--source", str(source)]
    assert main([*command, "--data-dir", str(tmp_path / "data")]) == 0
    assert "files left out: 1 .psd, 1 .txt" in capfd.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["prepair"], "invalid choice: 'prepair'"),
        (["prepare"], "the following arguments are required: DATASET"),
        (["prepare", "fer2013", "--on-bad-file", "ask"], "invalid choice: 'ask'"),
        (["prepare", "fer2014"], "tdgan-jax: unknown dataset 'fer2014'; did you mean 'fer2013'?"),
        (["prepare", "fer2013"], "tdgan-jax: fer2013 is built from files that you download; add"),
    ],
)
def test_wrong_use_is_exit_code_2(arguments, message, capfd):
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["--help"], ["prepare", "--help"]])
def test_help_has_an_example(arguments, capfd):
    assert main(arguments) == 0
    assert "example: tdgan-jax " in capfd.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("no"), 1, "tdgan-jax: no\n"),
        (UsageError("no"), 2, "tdgan-jax: no\n"),
        (KeyboardInterrupt(), 130, "tdgan-jax: interrupted\n"),
    ],
)
def test_errors_are_caught_in_one_place(error, code, message, monkeypatch, capfd):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("tdgan_jax.preparation.preparing.prepare_dataset", fail)
    assert main(["prepare", "fer2013", "--source", "x"]) == code
    assert capfd.readouterr() == ("", message)


def test_module_is_the_same_program_and_help_is_fast():
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tdgan_jax", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - start
    assert done.stdout.startswith("usage: tdgan-jax [-h] [--version] COMMAND")
    for heavy in ("jax", "flax", "tensorflow_datasets", "numpy"):
        assert f"| {heavy}\n" not in done.stderr
    # Less than one second on an idle machine; the imports above are the real test.
    assert seconds < 10


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_bar_shows_on_a_terminal_only(quiet, faces, tmp_path):
    terminal, stderr = pty.openpty()
    termios.tcsetwinsize(stderr, (24, 80))
    command = [sys.executable, "-m", "tdgan_jax", *prepare(faces, tmp_path, "--partial")]
    with subprocess.Popen(
        command + ["--quiet"] * quiet, stdout=subprocess.DEVNULL, stderr=stderr
    ) as process:
        os.close(stderr)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 1024)
            except OSError:  # The program has closed the terminal.
                break
    os.close(terminal)
    assert process.returncode == 0
    assert (b"att_faces:" in shown) is not quiet
    if quiet:
        assert shown == b""
