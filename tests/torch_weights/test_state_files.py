"""Reading files of weights that nobody has checked."""

import pathlib
import pickle
import sys

import numpy as np
import pytest
import safetensors.numpy

from tdgan_jax.errors import UserError
from tdgan_jax.torch_weights.state_files import (
    read_networks,
    read_state_dict,
    write_safetensors_file,
    write_torch_files,
)

torch = pytest.importorskip("torch", reason="PyTorch's files need PyTorch")

STEMS = {"first": "One", "second": "Two"}
PREFIXES = {"first": "one.", "second": "two."}
STATE_DICTS = {
    "first": {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)},
    "second": {"b": np.array([-1.5, 1e-30], np.float32)},
}


def read(source):
    return read_networks(source, stems=STEMS, prefixes=PREFIXES)


def assert_same(read_state_dicts):
    assert read_state_dicts.keys() == STATE_DICTS.keys()
    for name, state_dict in STATE_DICTS.items():
        assert read_state_dicts[name].keys() == state_dict.keys()
        for key, value in state_dict.items():
            np.testing.assert_array_equal(read_state_dicts[name][key], value)


def test_a_file_for_each_network(tmp_path):
    write_torch_files(tmp_path, STATE_DICTS, STEMS)
    assert {path.name for path in tmp_path.iterdir()} == {"One.pkl", "Two.pkl"}
    assert_same(read(tmp_path))
    (tmp_path / "Two.pkl").rename(tmp_path / "Two.pth")
    assert_same(read(tmp_path))


def test_one_file_for_all_networks(tmp_path):
    write_safetensors_file(tmp_path, STATE_DICTS, PREFIXES)
    assert_same(read(tmp_path))
    assert_same(read(tmp_path / "weights.safetensors"))
    combined = {
        PREFIXES[name] + key: torch.from_numpy(value)
        for name, state_dict in STATE_DICTS.items()
        for key, value in state_dict.items()
    }
    torch.save(combined, tmp_path / "all.pth", _use_new_zipfile_serialization=False)
    assert_same(read(tmp_path / "all.pth"))


def test_missing_and_ambiguous_files_are_named(tmp_path):
    with pytest.raises(UserError, match="no file or folder"):
        read(tmp_path / "absent")
    with pytest.raises(UserError, match=r"holds no One.pkl, Two.pkl \(nor"):
        read(tmp_path)
    write_torch_files(tmp_path, STATE_DICTS, STEMS)
    (tmp_path / "One.pt").write_bytes((tmp_path / "One.pkl").read_bytes())
    with pytest.raises(UserError, match="One.pkl and One.pt; keep one"):
        read(tmp_path)
    (tmp_path / "One.pt").unlink()
    (tmp_path / "Two.pkl").unlink()
    with pytest.raises(UserError, match="holds no Two.pkl"):
        read(tmp_path)


def test_a_key_of_no_network_is_named(tmp_path):
    torch.save({"three.x": torch.zeros(1)}, tmp_path / "all.pth")
    with pytest.raises(UserError, match="'three.x' belongs to no network; keys begin with one., t"):
        read(tmp_path)


def test_other_number_types_become_float32(tmp_path):
    values = torch.tensor([1.5, -2.0])
    kept = {str(t): values.to(t) for t in (torch.float16, torch.bfloat16, torch.float64)}
    kept["strided"] = torch.arange(6.0).reshape(2, 3).t()
    torch.save(kept | {"num_batches_tracked": torch.tensor(3)}, tmp_path / "a.pkl")
    read_back = read_state_dict(tmp_path / "a.pkl")
    for name in map(str, (torch.float16, torch.bfloat16, torch.float64)):
        assert read_back[name].dtype == np.float32
        np.testing.assert_array_equal(read_back[name], values)
    np.testing.assert_array_equal(read_back["strided"], kept["strided"])


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def make(path):
    path.touch()


class Link:
    """The same, by a function that a pickle names directly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return make, (self.path,)


class Recorder:
    """As training programs keep them in their checkpoints."""

    def __init__(self):
        self.epoch_losses = np.zeros((20, 2), np.float32)
        self.notes = {"best": [0.5, {1, 2}], "path": pathlib.PurePosixPath("a/b")}


def malicious_files(folder, marker):
    """The ways in which such a pickle reaches a user; gives their paths."""
    paths = [folder / f"{name}.pkl" for name in ("plain", "old", "zip", "legacy")]
    weights = {"a.weight": torch.zeros(2), "b": Touch(marker)}
    with open(paths[0], "wb") as file:
        pickle.dump(weights, file)
    with open(paths[1], "wb") as file:
        pickle.dump(weights, file, protocol=2)
    torch.save(weights, paths[2])
    torch.save(weights, paths[3], _use_new_zipfile_serialization=False)
    return paths


def test_nothing_in_a_pickle_is_run(tmp_path):
    marker = tmp_path / "it_ran"
    for path in malicious_files(tmp_path, marker):
        with pytest.raises(UserError, match="is not read: .*only plain state dicts"):
            read_state_dict(path)
        assert not marker.exists()
    with open(tmp_path / "plain.pkl", "rb") as file:  # The files do what they are said to do.
        pickle.load(file)
    assert marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        torch.zeros(3),
        [torch.zeros(3)],
        {},
        {1: torch.zeros(3)},
        {"a": torch.zeros(3), "epoch": 7},
        {"state_dict": torch.zeros(3), "epoch": 7},
        {"state_dict": {}, "epoch": 7},
        {"state_dict": {"a": 3.5}},
        {"weights": {"a": torch.zeros(3)}},
        {"a": torch.zeros(3).to_sparse()},
        {"a": torch.zeros(3, dtype=torch.complex64)},
        # 4 bytes in the file, 4 TB when used.
        {"a": torch.zeros(1).expand(10**12)},
    ],
)
def test_other_content_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pkl")
    with pytest.raises(UserError, match="a.pkl holds no state dict"):
        read_state_dict(tmp_path / "a.pkl")


def test_a_folder_with_one_checkpoint_is_read(tmp_path):
    combined = {
        f"module.{PREFIXES[name]}{key}": torch.from_numpy(value)
        for name, state_dict in STATE_DICTS.items()
        for key, value in state_dict.items()
    }
    torch.save({"model": combined}, tmp_path / "best.pth.tar")
    notes = []
    read_back = read_networks(tmp_path, stems=STEMS, prefixes=PREFIXES, say=notes.append)
    assert_same(read_back)
    assert notes == [
        "best.pth.tar: the weights are its 'model'",
        "best.pth.tar: the 'module.' before each key is left out",
    ]


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_every_usual_wrapper_is_opened_and_said(wrapper, tmp_path):
    torch.save({"epoch": 3, wrapper: {"module.a": torch.ones(2)}}, tmp_path / "a.pt")
    notes = []
    read_back = read_state_dict(tmp_path / "a.pt", say=notes.append)
    assert list(read_back) == ["a"]
    assert notes[0] == f"a.pt: the weights are its {wrapper!r}; left out: epoch"


def test_two_suffixes_are_no_part_of_a_networks_name(tmp_path):
    write_torch_files(tmp_path, STATE_DICTS, STEMS, suffix=".pth.tar")
    assert {path.name for path in tmp_path.iterdir()} == {"One.pth.tar", "Two.pth.tar"}
    assert_same(read(tmp_path))


@pytest.mark.parametrize("is_zip", [True, False])
def test_the_rest_of_a_checkpoint_is_not_looked_at(tmp_path, is_zip):
    marker = tmp_path / "it_ran"
    weights = STATE_DICTS["first"]["a.weight"]
    checkpoint = {
        "epoch": 7,
        "state_dict": {"a": torch.from_numpy(weights)},
        "best_acc": torch.zeros(1),
        "recorder": Recorder(),
        "hook": Link(marker),
        "kept": {"further": [Link(marker), Recorder()]},
    }
    path = tmp_path / "checkpoint.pth"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=is_zip)
    notes = []
    read_back = read_state_dict(path, say=notes.append)
    np.testing.assert_array_equal(read_back["a"], weights)
    assert list(read_back) == ["a"]
    assert notes == [
        "checkpoint.pth: the weights are its 'state_dict'; left out: epoch, best_acc, recorder, "
        "hook, kept"
    ]
    assert not marker.exists()
    torch.load(path, weights_only=False)  # The file does what it is said to do.
    assert marker.exists()


def test_a_checkpoint_that_calls_what_it_makes_is_refused(tmp_path):
    marker = tmp_path / "it_ran"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "b": Touch(marker)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="a.pth is not read: it refers to pathlib"):
        read_state_dict(tmp_path / "a.pth")
    assert not marker.exists()


def test_a_checkpoint_of_a_whole_network_is_refused_by_its_class(tmp_path):
    for name in ("model", "state_dict"):
        torch.save({"epoch": 1, name: Recorder()}, tmp_path / "a.pth")
        with pytest.raises(UserError, match=r"a.pth is not read: it refers to .*\.Recorder; only"):
            read_state_dict(tmp_path / "a.pth")


def test_a_state_dict_with_an_object_is_refused_by_its_class(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1), "b": Recorder()}}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a.pth is not read: it refers to .*\.Recorder; only"):
        read_state_dict(tmp_path / "a.pth")


def test_a_checkpoint_that_names_many_classes_is_refused(tmp_path):
    kinds = [type(f"Kind{i}", (), {"__module__": __name__}) for i in range(40)]
    for kind in kinds:
        setattr(sys.modules[__name__], kind.__name__, kind)
    objects = [kind() for kind in kinds]
    torch.save({"state_dict": {"a": torch.zeros(1)}, "objects": objects}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="a.pth is not read: it refers to .*Kind32"):
        read_state_dict(tmp_path / "a.pth")


def test_nothing_stays_trusted_after_reading(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    torch.save({"state_dict": {"a": torch.zeros(1)}, "b": Recorder()}, tmp_path / "a.pth")
    read_state_dict(tmp_path / "a.pth")
    assert set(torch.serialization.get_safe_globals()) == before


def test_safetensors_of_several_devices_are_read(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"module.module.a": np.ones(2, np.float32)}, path)
    assert list(read_state_dict(path)) == ["a"]
    both = {"module.a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    safetensors.numpy.save_file(both, path)
    assert set(read_state_dict(path)) == {"module.a", "b"}


@pytest.mark.parametrize("suffix", [".pkl", ".safetensors"])
def test_damaged_files_are_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".pkl":
        torch.save({"a": torch.zeros(100)}, path)
    else:
        safetensors.numpy.save_file({"a": np.zeros(100, np.float32)}, path)
    whole = path.read_bytes()
    for content in (b"", whole[:10], whole[: len(whole) // 2], whole[:-1], b"some text\n", b"\x80"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"a{suffix}"):
            read_state_dict(path)
    path.unlink()
    with pytest.raises(UserError, match="there is no file"):
        read_state_dict(path)


def test_bfloat16_safetensors_are_read(tmp_path):
    import safetensors.torch

    values = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    safetensors.torch.save_file({"a": values}, tmp_path / "a.safetensors")
    read_back = read_state_dict(tmp_path / "a.safetensors")["a"]
    np.testing.assert_array_equal(read_back.astype(np.float32), [1.5, -2.0])


def test_without_torch_the_command_is_named(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pkl")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"a.pkl needs PyTorch: pip install 'tdgan-jax\[torch\]'"):
        read_state_dict(tmp_path / "a.pkl")


def test_an_unsafe_torch_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(UserError, match="needs PyTorch 2.6 or newer, not 2.5.1"):
        read_state_dict(tmp_path / "a.pkl")
