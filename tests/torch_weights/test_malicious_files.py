"""Nothing that a file of weights names is run, in whatever form it reaches a user."""

import builtins
import io
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tdgan_jax.cli.main import main
from tdgan_jax.errors import UserError
from tdgan_jax.torch_weights.mapping import SAME, Entry, parameters_from_torch
from tdgan_jax.torch_weights.state_files import read_state_dict

torch = pytest.importorskip("torch", reason="PyTorch's files need PyTorch")


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class State:
    """Takes a state when it is unpickled, as the class of a library may."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __setstate__(self, state):
        open(state["marker"], "w").close()


def attacks(marker):
    """Objects that make the marker when they are unpickled, by name."""
    path = str(marker)
    code = f"open({path!r}, 'w').close()"
    command = f"touch {path}"
    return {
        "os.system": Call(os.system, command),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(open, path, "w"),
        "subprocess": Call(subprocess.call, ["touch", path]),
        "popen": Call(os.popen, command),
        "import": Call(__import__, "antigravity"),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "map": Call(list, Call(map, Call(eval, f"lambda x: {code}"), [1])),
        "numpy": Call(np.save, f"{path}.npy", np.zeros(1)),
        "torch.load": Call(torch.load, path),
        "torch.save": Call(torch.save, [1], path),
        "compile": Call(exec, Call(compile, code, "x", "exec")),
        "state": State(marker),
    }


def wrapped(attack, kind):
    weights = {"a.weight": torch.zeros(2)}
    return {
        "beside": weights | {"b": attack},
        "as weights": attack,
        "as a key": weights | {"b": {"c": attack}},
        "in a wrapper": {"state_dict": weights | {"b": attack}},
        "as a wrapper": {"model": attack},
    }[kind]


def files(content, folder):
    """The formats of a file."""
    paths = []
    for protocol in (2, 4):
        paths.append(folder / f"protocol{protocol}.pkl")
        paths[-1].write_bytes(pickle.dumps(content, protocol=protocol))
    for is_zip in (True, False):
        paths.append(folder / f"torch{is_zip}.pth")
        torch.save(content, paths[-1], _use_new_zipfile_serialization=is_zip)
    paths.append(folder / "disguised.safetensors")
    paths[-1].write_bytes(pickle.dumps(content))
    return paths


NAMES = sorted(attacks("x"))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_run(name, tmp_path):
    marker = tmp_path / "it_ran"
    folder = tmp_path / "files"
    folder.mkdir()
    modules = set(sys.modules)
    attack = attacks(marker)[name]
    for kind in ("beside", "as weights", "as a key", "in a wrapper", "as a wrapper"):
        for path in files(wrapped(attack, kind), folder):
            with pytest.raises(UserError) as raised:
                read_state_dict(path)
            assert path.name in str(raised.value) and "\n" not in str(raised.value)
            assert [found.name for found in tmp_path.iterdir()] == ["files"]
    assert "antigravity" not in set(sys.modules) - modules
    assert builtins.eval("1 + 1") == 2


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path):
    file = io.BytesIO()
    torch.save({"a": torch.zeros(1_000_000)}, file)
    packed = tmp_path / "a.pth"
    with (
        zipfile.ZipFile(file) as whole,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in whole.namelist():
            archive.writestr(name, whole.read(name))
    with pytest.raises(
        UserError, match=r"a\.pth is not read: it would unpack to 4,0\d\d,\d+ bytes"
    ):
        read_state_dict(packed)


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_named_and_not_waited_for(suffix, kind, tmp_path, capfd):
    path = tmp_path / f"a{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(UserError, match=f"cannot read .*a{suffix}: not a file"):
        read_state_dict(path)
    if kind != "folder":
        arguments = ["--model", "tdgan", "--out", str(tmp_path / "out")]
        assert main(["import", str(path), *arguments]) == 1
        out, err = capfd.readouterr()
        assert out == "" and err.endswith(f"a{suffix}: not a file\n") and err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    with open(path, "wb") as file:
        file.truncate(17 << 30)  # no room on disk
    with pytest.raises(UserError, match="larger than 16,384 MB"):
        read_state_dict(path)


@pytest.mark.parametrize("name", ["bool", "int64", "int8", "uint8", "complex64"])
def test_weights_are_floating_point_numbers(name):
    table = [Entry("a", ("a",), SAME)]
    template = {"a": np.zeros(3, np.float32)}
    with pytest.raises(UserError, match=f"x does not fit: a holds numbers of the type {name}"):
        parameters_from_torch(table, {"a": np.ones(3, name)}, template, source="x")


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_of_any_precision(name):
    import ml_dtypes  # noqa: F401  makes numpy know bfloat16

    table = [Entry("a", ("a",), SAME)]
    template = {"a": np.zeros(3, np.float32)}
    taken = parameters_from_torch(table, {"a": np.ones(3, np.dtype(name))}, template)["a"]
    assert taken.dtype == np.float32 and taken.tolist() == [1, 1, 1]


def test_a_description_that_is_no_file_is_named(tmp_path, capfd):
    (tmp_path / "s").mkdir()
    torch.save({"a": torch.zeros(1)}, tmp_path / "s" / "a.pth")
    for kind in ("folder", "pipe", "dangling"):
        path = tmp_path / "s" / "model.json"
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("nowhere")
        arguments = ["--model", "tdgan", "--out", str(tmp_path / "out")]
        assert main(["import", str(tmp_path / "s"), *arguments]) == 1
        assert "model.json: " in capfd.readouterr().err
        path.rmdir() if kind == "folder" else path.unlink()
