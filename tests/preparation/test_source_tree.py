"""Folders and zip files as owners and desktops make them, sound and damaged."""

import os
import random
import time
import unicodedata
import zipfile

import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.files import MAX_PICTURE_BYTES, reason
from tdgan_jax.preparation import source_tree
from tdgan_jax.preparation.source_tree import SourceTree
from tests.owners_files import picture, write_tree

NFC = unicodedata.normalize("NFC", "été/Zoë.png")
NFD = unicodedata.normalize("NFD", NFC)


def zipped(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def why_unread(tree, name):
    with pytest.raises(OSError) as raised:
        tree.read(name)
    return reason(raised.value)


@pytest.mark.parametrize("form", [NFC, NFD])
def test_files_are_found_whichever_form_of_unicode_their_names_have(form, tmp_path):
    folder = write_tree(tmp_path / "s", {form: b"x", "labels.csv": b"image\n"})
    for source in (folder, zipped(tmp_path / "s.zip", {form: b"x"})):
        with SourceTree(source) as tree:
            assert NFC in tree.names and "été" in tree.folders
            assert tree.read(NFC) == b"x"
    # Beside a csv that is given as the source nothing is listed.
    assert SourceTree(folder / "labels.csv").read(NFC) == b"x"


def test_two_files_of_one_name_are_refused(tmp_path):
    both = write_tree(tmp_path / "s", {NFC: b"x", NFD: b"y"})
    with pytest.raises(UserError, match="holds two files of the name été/Zoë.png; remove one"):
        SourceTree(both)
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zipfile.ZipFile(tmp_path / "twice.zip", "w")
        with twice:
            twice.writestr("a.png", b"x")
            twice.writestr("a.png", b"y")
    with pytest.raises(UserError, match="two files of the name a.png"):
        SourceTree(tmp_path / "twice.zip")


def test_names_in_zip_files_of_other_systems(tmp_path):
    archive = zipped(tmp_path / "s.zip", {"happy\\1.png": b"x", "/abs/2.png": b"y"})
    # As the tools of macOS do: UTF-8, without the mark that says so.
    content = archive.read_bytes().replace(b"happy", "hép".encode() + b"y")
    archive.write_bytes(content)
    with SourceTree(archive) as tree:
        assert tree.names == ("abs/2.png", "hépy/1.png")
        assert tree.read("hépy/1.png") == b"x"


def test_a_name_that_is_no_text_is_named(tmp_path):
    write_tree(tmp_path / "s", {"happy/1.png": b"x"})
    (tmp_path / "s" / os.fsdecode(b"happy/\xff.png")).write_bytes(b"x")
    with pytest.raises(UserError) as raised:
        SourceTree(tmp_path / "s")
    assert str(raised.value) == r"the name of the file happy/\xff.png is not in UTF-8; rename it"


def test_folders_are_followed_once_and_loops_end(tmp_path):
    other = write_tree(tmp_path / "other", {"1.png": b"x"})
    source = write_tree(tmp_path / "s", {"happy/1.png": b"x", ".hidden/2.png": b"x"})
    for name, target in (("sad", other), ("again", source), ("happy/up", ".."), ("joy", "happy")):
        (source / name).symlink_to(target)
    (source / "empty").mkdir()
    tree = SourceTree(source)
    assert tree.names == ("happy/1.png", "sad/1.png")
    assert tree.folders == ("empty", "happy", "sad")


def test_pipes_and_devices_are_no_files(tmp_path):
    source = write_tree(tmp_path / "s", {"happy/1.png": b"x"})
    os.mkfifo(source / "happy/pipe.png")
    (source / "happy/zero.png").symlink_to("/dev/zero")
    (source / "happy/gone.png").symlink_to("nowhere")
    tree = SourceTree(source)
    assert why_unread(tree, "happy/pipe.png") == why_unread(tree, "happy/zero.png") == "not a file"
    assert why_unread(tree, "happy/gone.png") == "the file is missing"
    assert why_unread(tree, "happy") == "not a file"
    for path in (source / "happy/pipe.png", "/dev/zero"):
        with pytest.raises(UserError, match="cannot read the source .*: not a file"):
            SourceTree(path)


def test_what_is_no_source(tmp_path):
    with SourceTree(zipped(tmp_path / "empty.zip", {})) as tree:
        assert tree.names == ()
    for path, message in (
        ("nowhere", "does not exist"),
        ("a\0b", "does not exist"),
        ("x" * 5000, "does not exist"),
        ("~nobody_has_this_name/x", "does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            SourceTree(path)
    (tmp_path / "faces.rar").write_bytes(b"Rar!")
    with pytest.raises(UserError, match="neither a folder nor an intact zip file"):
        SourceTree(tmp_path / "faces.rar")


def test_an_entry_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source_tree, "MAX_PICTURE_BYTES", 1 << 20)
    path = zipped(
        tmp_path / "bomb.zip", {"happy/1.png": bytes(1 << 22)}, compression=zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 1 << 13
    with SourceTree(path) as tree:
        assert why_unread(tree, "happy/1.png") == "larger than 1 MB"
    # The same with a size that is a lie: what counts is what comes out.
    content = path.read_bytes().replace((1 << 22).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    path.write_bytes(content)
    with SourceTree(path) as tree:
        why = why_unread(tree, "happy/1.png")
        assert why == "larger than 1 MB" or why.startswith("damaged in the zip file")


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    source = write_tree(tmp_path / "s", {"happy/1.png": b"x"})
    with open(source / "happy/1.png", "wb") as file:
        file.truncate(MAX_PICTURE_BYTES + 1)  # no room on disk
    start = time.monotonic()
    assert why_unread(SourceTree(source), "happy/1.png") == "larger than 512 MB"
    assert time.monotonic() - start < 5


def test_links_and_locked_files_inside_a_zip_file(tmp_path):
    link = zipfile.ZipInfo("happy/link.png")
    link.external_attr = 0o120777 << 16
    locked = zipfile.ZipInfo("happy/locked.png")
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(link, b"/etc/passwd")
        archive.writestr(locked, b"x")
    content = bytearray((tmp_path / "s.zip").read_bytes())
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.rindex(signature) + place] |= 1  # encrypted
    (tmp_path / "s.zip").write_bytes(content)
    with SourceTree(tmp_path / "s.zip") as tree:
        assert why_unread(tree, "happy/link.png") == "not a file"
        assert why_unread(tree, "happy/locked.png").startswith("damaged in the zip file")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_file_is_one_clear_line_wherever_it_is_damaged(compression, tmp_path):
    files = {f"happy/{number}.png": picture(number) for number in range(4)}
    path = zipped(tmp_path / "s.zip", files, compression=compression)
    whole = path.read_bytes()
    generator = random.Random(0)
    failures = 0
    for _ in range(300):
        damaged = bytearray(whole)
        # The directory of the archive, at its end, is where readers stumble.
        first = generator.choice((0, len(whole) - 400))
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(first, len(whole))] = generator.randrange(256)
        path.write_bytes(damaged[: generator.choice((len(damaged), generator.randrange(99, 999)))])
        try:
            with SourceTree(path) as tree:
                for name in tree.names:
                    tree.read(name)
        except (UserError, OSError) as error:
            failures += 1
            assert reason(error) and "\n" not in reason(error)
    assert failures > 100
