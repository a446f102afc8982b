import os
import re
from pathlib import Path

import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.inference import inputs
from tdgan_jax.inference.inputs import named_files
from tdgan_jax.inference.patterns import holds_links, matches, walk


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: `g` with pictures at three depths, a hidden one, and links."""
    monkeypatch.chdir(tmp_path)
    for name in ("g/a.png", "g/deep/b.png", "g/deep/er/c.png", "g/.hidden/d.png", "other/e.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")
    return tmp_path


def names(*arguments):
    return [str(file.path) for file in named_files(arguments, ())]


ALL = ["g/a.png", "g/deep/b.png", "g/deep/er/c.png"]


@pytest.mark.parametrize("pattern", ["g/**/*.png", "g/**", "g", "g/*", "*/**/[abc].png", "**/g"])
def test_each_real_file_is_given_once_whatever_the_links(pattern, folder):
    assert sorted(names(pattern)) == ALL
    # Two links to the folder itself: followed without memory, there is no end of paths.
    os.symlink(".", "g/loop")
    os.symlink("..", "g/deep/again")
    os.symlink("../a.png", "g/deep/z.png")
    found = names(pattern)
    assert sorted(os.path.realpath(path) for path in found) == [os.path.abspath(p) for p in ALL]


def test_what_was_given_is_remembered_only_where_there_are_links(folder, monkeypatch):
    os.symlink("../a.png", "g/.hidden/link.png")
    assert not holds_links("g")
    with monkeypatch.context() as patched:
        patched.setattr(inputs, "_each_once", None)
        assert names("g") == ALL
    os.symlink("../../a.png", "g/deep/er/a.png")
    assert holds_links("g")
    assert names("g") == ALL


def test_links_to_other_places_are_followed_once(folder):
    os.symlink("../other", "g/linked")
    os.symlink("../other", "g/linked_again")
    assert names("g/**/*.png") == [*ALL, "g/linked/e.png"]
    assert names("g") == [*ALL, "g/linked/e.png"]


def test_what_is_named_twice_is_given_twice(folder):
    assert names("g/a.png", "g/a.png", "g/*.png") == ["g/a.png"] * 3


def test_patterns_from_here_and_from_the_root(folder):
    assert matches("**/b.png") == ["g/deep/b.png"]
    assert matches(f"{folder}/**/b.png") == [f"{folder}/g/deep/b.png"]
    assert matches("**/**/c.png") == ["g/deep/er/c.png"]
    assert matches("none/**/c.png") == matches("g/none*") == []
    assert [parent for parent, _ in walk("g")] == ["g", "g/deep", "g/deep/er"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_named(folder):
    Path("g/deep").chmod(0)
    with pytest.raises(UserError, match=re.escape("cannot list the folder g/deep: Permission")):
        matches("g/**/*.png")
    Path("g/deep").chmod(0o755)
