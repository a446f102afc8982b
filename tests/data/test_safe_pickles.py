"""Pickles are read without running anything in them."""

import os
import pickle
import sys
import types
from fractions import Fraction

import numpy as np
import pytest

from tdgan_jax.data.safe_pickles import Pickled, is_array, read_pickle, to_array, to_number
from tdgan_jax.errors import UserError

PROTOCOLS = [2, 3, 4, 5]


def pickled(path, content, protocol=4):
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", [0, 1, *PROTOCOLS])
def test_plain_values(tmp_path, protocol):
    content = {"a": [1, 2.5, None, True, "text", b"bytes", (1, 2)], 3: {"b": -(2**70)}}
    if protocol < 3:
        content["a"].remove(b"bytes")
    assert read_pickle(pickled(tmp_path / "a.pkl", content, protocol), allowed=()) == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(3, dtype=">i2"),
        np.array([], np.float32),
        np.array(["one", "three"]),
        np.array(["one", 2, None], object),
        np.array([True, False]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_arrays(tmp_path, array, protocol):
    read = read_pickle(pickled(tmp_path / "a.pkl", [array], protocol), allowed=())
    assert is_array(read[0])
    np.testing.assert_array_equal(to_array(read[0]), array)
    assert to_array(read[0]).dtype == array.dtype


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers(tmp_path, protocol):
    content = [np.float64(0.1), np.int32(-7), np.float32(0.5), 3, 0.25]
    read = read_pickle(pickled(tmp_path / "a.pkl", content, protocol), allowed=())
    assert [to_number(value) for value in read] == content
    for value in (True, "3", None, read[0].args[0]):
        with pytest.raises(ValueError, match="no number but"):
            to_number(value)


class Running:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, *PROTOCOLS])
def test_nothing_is_run(tmp_path, protocol):
    marker = tmp_path / "it_ran"
    path = pickled(tmp_path / "a.pkl", {"x": Running(os.mkdir, str(marker))}, protocol)
    with pytest.raises(UserError, match=r"a.pkl is not read: it refers to (posix|nt).mkdir, which"):
        read_pickle(path, allowed=("other.Class",))
    assert not marker.exists()
    with open(path, "rb") as file:  # The file does what it is said to do.
        pickle.load(file)
    assert marker.exists()


def test_allowed_classes_are_recorded_and_not_made(tmp_path, monkeypatch):
    module = types.ModuleType("somebodys_module")
    made = []

    class Note:
        def __init__(self, text):
            self.text = text

        def __setstate__(self, state):
            made.append(state)

    Note.__module__, Note.__qualname__ = "somebodys_module", "Note"
    module.Note = Note  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "somebodys_module", module)
    path = pickled(tmp_path / "a.pkl", [Note("one"), Fraction(1, 2)])
    read = read_pickle(path, allowed=("somebodys_module.Note", "fractions.Fraction"))
    assert all(isinstance(value, Pickled) for value in read)
    assert (read[0].name, read[0].args, read[0].state) == (
        "somebodys_module.Note",
        (),
        {"text": "one"},
    )
    assert (read[1].name, read[1].args) == ("fractions.Fraction", (1, 2)) and not made
    with pytest.raises(UserError, match="refers to fractions.Fraction"):
        read_pickle(path, allowed=("somebodys_module.Note",))


def test_damaged_and_missing_files_are_named(tmp_path):
    path = pickled(tmp_path / "a.pkl", [np.arange(5.0), "text"] * 3)
    whole = path.read_bytes()
    for content in (b"", b"\x80", whole[:20], whole[:-1], b"some text\n", b"\x80\x04." * 3):
        path.write_bytes(content)
        with pytest.raises(UserError, match="a.pkl is damaged or no pickle"):
            read_pickle(path, allowed=())
    with pytest.raises(UserError, match="cannot read .*absent.pkl: No such file"):
        read_pickle(tmp_path / "absent.pkl", allowed=())
    with pytest.raises(UserError, match="cannot read .*: not a file"):
        read_pickle(tmp_path, allowed=())


def test_other_files_than_the_pickle_are_not_asked_for(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02U\x03abcQ.")  # BINPERSID
    with pytest.raises(UserError, match="it refers to another file"):
        read_pickle(tmp_path / "a.pkl", allowed=())


def described(dtype, shape, data, *, order=False, state=(3, "<", None, None, None, -1, -1, 0)):
    """What a pickle may say of an array."""
    records = {
        name: type("Pickled", (Pickled,), {"__slots__": (), "name": name})
        for name in ("numpy.dtype", "numpy._core.multiarray._reconstruct", "elsewhere.f")
    }
    kind = records["numpy.dtype"](dtype)
    kind.__setstate__(state)
    array = records["numpy._core.multiarray._reconstruct"]()
    array.__setstate__((1, shape, kind, order, data))
    return array, records


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("f8", (2,), b"12345678"), "cannot reshape"),
        (("f8", (-1,), b"12345678"), "no shape of an array"),
        (("f8", (1,), b"1234567"), "buffer size"),
        (("f8", (1,), [1.0]), "no bytes but list"),
        (("O", (1,), b"12345678"), "objects without a list"),
        (("V8", (1,), b"12345678"), "no type of numbers or texts: 'V8'"),
        (("f8,O", (1,), b"12345678"), "no type of numbers"),
        ((["f8"], (1,), b"12345678"), "no type of an array"),
    ],
)
def test_descriptions_that_contradict_themselves_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        to_array(described(*fields)[0])


def test_what_is_no_array_is_refused():
    array, records = described("f8", (1,), b"12345678")
    assert to_array(array).shape == (1,)
    for value in (None, 3, records["elsewhere.f"](), records["numpy.dtype"]("f8")):
        assert not is_array(value)
        with pytest.raises(ValueError, match="no array"):
            to_array(value)
    with pytest.raises(ValueError, match="no order of bytes"):
        to_array(described("f8", (1,), b"12345678", state=(3, "x"))[0])
