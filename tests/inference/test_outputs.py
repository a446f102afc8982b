import os
from pathlib import Path

import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.inference.outputs import staged_file, staged_folder, write_errors_of


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "rows.csv"
    with staged_file(path) as file:
        file.write("é\n")
        assert not path.exists()
    assert path.read_bytes() == "é\n".encode()
    assert os.listdir(path.parent) == ["rows.csv"]


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), staged_file(path) as file:
        file.write("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["rows.csv"]


def test_a_folder_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "seen"
    with staged_folder(path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.png").write_text("a")
        assert not path.exists()
    assert (path / "deep" / "a.png").read_text() == "a"
    assert os.listdir(tmp_path) == ["seen"]


def test_a_folder_that_exists_keeps_its_other_files(tmp_path):
    path = tmp_path / "seen"
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "mine.png").write_text("mine")
    (path / "a.png").write_text("old")
    with pytest.raises(RuntimeError), staged_folder(path) as folder:
        (folder / "a.png").write_text("new")
        raise RuntimeError
    assert (path / "a.png").read_text() == "old"
    with staged_folder(path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "b.png").write_text("b")
        (folder / "a.png").write_text("new")
    assert (path / "a.png").read_text() == "new"
    assert sorted(os.listdir(path / "deep")) == ["b.png", "mine.png"]
    assert os.listdir(tmp_path) == ["seen"]


def test_the_current_folder_is_a_folder_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with staged_folder(Path(".")) as folder:
        (folder / "a.png").write_text("a")
        assert os.listdir(tmp_path) == [folder.name] and folder.name.startswith(".")
    assert os.listdir(tmp_path) == ["a.png"]


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="^cannot write .*/file/rows.csv: "):
        with staged_file(tmp_path / "file" / "rows.csv"):
            pass
    with pytest.raises(BrokenPipeError), write_errors_of(tmp_path):
        raise BrokenPipeError
