"""Files of one array, whoever wrote them and with what."""

import pathlib
import pickle

import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.torch_weights.array_files import read_array

torch = pytest.importorskip("torch", reason="most of the files are PyTorch's")

ARRAY = np.random.default_rng(0).normal(size=(3, 4))


def pickled(path, content, protocol):
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=protocol)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("content", [ARRAY, torch.tensor(ARRAY)], ids=["array", "tensor"])
def test_what_torch_saves(tmp_path, content, is_new):
    torch.save(content, tmp_path / "emb.pkl", _use_new_zipfile_serialization=is_new)
    np.testing.assert_allclose(read_array(tmp_path / "emb.pkl"), ARRAY, rtol=1e-6)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("array", [ARRAY, ARRAY.T, ARRAY.astype(">f4"), np.arange(3)])
def test_what_pickle_writes(tmp_path, array, protocol):
    pickled(tmp_path / "emb.pkl", array, protocol)
    read = read_array(tmp_path / "emb.pkl")
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_nothing_in_a_file_is_run(tmp_path):
    marker, path = tmp_path / "it_ran", tmp_path / "emb.pkl"
    for write in (
        lambda: pickled(path, Touch(marker), 2),
        lambda: pickled(path, [Touch(marker), ARRAY], 4),
        lambda: torch.save(Touch(marker), path),
        lambda: torch.save(Touch(marker), path, _use_new_zipfile_serialization=False),
    ):
        write()
        with pytest.raises(UserError, match="emb.pkl"):
            read_array(path)
        assert not marker.exists()


@pytest.mark.parametrize("content", [{"a": torch.zeros(3)}, [1.0], torch.zeros(2).to_sparse(), "x"])
def test_other_content_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "emb.pkl")
    with pytest.raises(UserError, match="emb.pkl does not hold one tensor of numbers"):
        read_array(tmp_path / "emb.pkl")


def test_damaged_and_missing_files_are_named(tmp_path):
    path = tmp_path / "emb.pkl"
    with pytest.raises(UserError, match="there is no file .*emb.pkl"):
        read_array(path)
    torch.save(torch.tensor(ARRAY), path)
    whole = path.read_bytes()
    for content in (b"", whole[:10], whole[:-30], b"some text\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="emb.pkl"):
            read_array(path)
