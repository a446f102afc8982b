"""Plain files, of bounded size, in the encodings that programs write."""

import io
import json
import os
import socket

import pytest

from tdgan_jax import files
from tdgan_jax.errors import UserError


@pytest.fixture
def things(tmp_path):
    """What a path may name besides a plain file, by name."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for target in ("pipe", "folder", "/dev/zero", "socket"):
            (tmp_path / f"link to {os.path.basename(target)}").symlink_to(tmp_path / target)
        yield tmp_path


KINDS = ("pipe", "folder", "socket", "link to pipe", "link to zero", "link to folder")


@pytest.mark.parametrize("kind", [*KINDS, "/dev/zero"])
def test_only_plain_files_are_opened(kind, things):
    path = things / kind
    for read in (files.open_file, files.read_file, files.check_file):
        with pytest.raises(OSError) as raised:
            read(path)
        assert files.reason(raised.value) == "not a file"
    with pytest.raises(UserError, match="cannot read .*: not a file"):
        files.read_json(path)


def test_missing_files_and_impossible_paths(tmp_path):
    (tmp_path / "dangling").symlink_to("nowhere")
    for path, message in (
        ("x", "No such file or directory"),
        ("dangling", "No such file or directory"),
        ("a\0b", "no path (embedded null byte)"),
        ("\ud800", "no path"),
        ("x" * 300, "File name too long"),
    ):
        with pytest.raises(OSError) as raised:
            files.open_file(tmp_path / path)
        assert files.reason(raised.value).startswith(message.split(" (")[0])


def test_a_link_to_a_plain_file_is_opened(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    assert files.read_file(tmp_path / "link") == b"abc"


def test_sizes_are_bounded_as_declared_and_while_reading(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(1000))
    assert len(files.read_file(path, limit_bytes=1000)) == 1000
    with pytest.raises(OSError, match="larger than"):
        files.read_file(path, limit_bytes=999)
    assert files.read_stream(io.BytesIO(bytes(1000)), limit_bytes=1000) == bytes(1000)

    class Endless(io.RawIOBase):
        num_read = 0

        def read(self, size=-1):
            self.num_read += size
            return bytes(size)

    endless = Endless()
    with pytest.raises(OSError, match="larger than 3 MB"):
        files.read_stream(endless, limit_bytes=3 << 20)
    assert endless.num_read <= (3 << 20) + 1


TEXT = "p/été 😀.png,happy\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_byte_order_mark(encoding):
    for content in (TEXT.encode(encoding), "".encode(encoding)):
        text = content.decode(encoding)
        assert files.decode_text(content) == text
        with files.open_text(io.BufferedReader(io.BytesIO(content))) as stream:
            assert stream.read() == text
    big = "\ufeff".encode("utf-16-be") + TEXT.encode("utf-16-be")
    assert files.decode_text(big) == TEXT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_lists_of_files_in_every_encoding(encoding):
    stream = io.BufferedReader(io.BytesIO("é/1.png\r\n\n2.png".encode(encoding)))
    assert list(files.listed_paths(stream)) == ["é/1.png".encode(), b"", b"2.png"]
    assert not stream.closed


def test_names_in_a_list_need_not_be_text():
    stream = io.BufferedReader(io.BytesIO(b"\xff\xfe.png\nb.png\n"))
    assert list(files.listed_paths(stream)) == [b"\xff\xfe.png", b"b.png"]
    damaged = "ab.png\n".encode("utf-16") + b"\xd8"
    with pytest.raises(UserError, match="the list of files is damaged"):
        list(files.listed_paths(io.BufferedReader(io.BytesIO(damaged))))


def test_names_that_only_begin_like_a_mark_are_names():
    assert files.encoding_of(b"\xff\xfe.png\nother.png\n") == "utf-8"


@pytest.mark.parametrize("content", [TEXT.encode("latin-1", "replace"), TEXT.encode("utf-16-le")])
def test_other_encodings_are_refused(content):
    with pytest.raises(ValueError):
        files.decode_text(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"a": NaN}', "not finite"),
        ('{"a": [1e999]}', "not finite"),
        ('{"a": -Infinity}', "not finite"),
        ('{"a": ' + "9" * 5000 + "}", "damaged"),
        ('{"a": "\ud800"}'.encode("utf-8", "surrogatepass"), "damaged"),
        ("", "damaged"),
        (b"\xff{}", "damaged"),
    ],
)
def test_damaged_json_is_named(content, message, tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=f"model.json.*{message}") as raised:
        files.read_json(path)
    assert "\n" not in str(raised.value)


def test_json_that_an_editor_has_saved_is_read(tmp_path):
    path = tmp_path / "model.json"
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_text(json.dumps({"a": "é"}, ensure_ascii=False), encoding=encoding)
        assert files.read_json(path) == {"a": "é"}


def test_large_json_is_refused(tmp_path):
    path = tmp_path / "model.json"
    with open(path, "wb") as file:
        file.truncate(files.MAX_SMALL_FILE_BYTES + 1)  # no room on disk
    with pytest.raises(UserError, match="model.json: larger than 64 MB"):
        files.read_json(path)
