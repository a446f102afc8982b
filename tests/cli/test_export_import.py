"""`tdgan-jax export` and `tdgan-jax import`, and what a PyTorch user does with an export."""

import faulthandler
import json
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import tdgan_jax
from tdgan_jax.cli.main import main
from tdgan_jax.errors import UserError
from tdgan_jax.exchange.exporting import rounded
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tests import golden_tdgan as golden
from tests.tiny_tdgan import make_run

torch = pytest.importorskip("torch", reason="PyTorch's format needs PyTorch")

ROOT = Path(__file__).parent.parent.parent
STEMS = ("Enc_FR_G", "Enc_ER_G", "fc_ER_G", "dec", "Dis_FR", "Dis_ER")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="module")
def torch_export(run_folder):
    out = run_folder.parent / "torch"
    assert main(["export", str(run_folder), "--format", "torch", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def safetensors_export(run_folder):
    out = run_folder.parent / "safetensors"
    assert main(["export", str(run_folder), "--format", "safetensors", "--out", str(out)]) == 0
    return out


@pytest.fixture
def weights(torch_export, tmp_path):
    """A copy of the six files without model.json, as they are found elsewhere."""
    folder = tmp_path / "weights"
    shutil.copytree(torch_export, folder)
    (folder / "model.json").unlink()
    return folder


def import_tdgan(source, out, *more):
    return main(["import", str(source), "--model", "tdgan", "--out", str(out), *more])


def the_one_line(capfd):
    """What a failed command has printed: one line on stderr, nothing on stdout."""
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("tdgan-jax: ") and err.count("\n") == 1 and err.endswith("\n"), err
    return err


def change(path, edit):
    """Rewrites a torch file with its state dict edited in place."""
    state_dict = torch.load(path, weights_only=True)
    edit(state_dict)
    torch.save(state_dict, path)


def read_tensors(folder):
    return {
        f"{stem}.{key}": value.numpy()
        for stem in STEMS
        for key, value in torch.load(folder / f"{stem}.pkl", weights_only=True).items()
    }


def test_torch_export_holds_the_released_files(torch_export, run_folder, tmp_path, capfd):
    files = {path.name for path in torch_export.iterdir()}
    assert files == {"model.json", *(f"{stem}.pkl" for stem in STEMS)}
    # The same keys in the same order as the specification's, but for the number of blocks.
    kept = re.compile(r"(enc\.)?repeat\.[1-3]\.|emb2\.[1-5]\.")
    for stem, keys in {
        "Enc_FR_G": golden.encoder_keys(),
        "fc_ER_G": golden.head_keys(7),
        "dec": golden.decoder_keys(),
        "Dis_FR": golden.discriminator_keys(4),
    }.items():
        state_dict = torch.load(torch_export / f"{stem}.pkl", weights_only=True)
        assert list(state_dict) == [key for key, _ in keys if not kept.match(key)]
        assert {value.dtype for value in state_dict.values()} == {torch.float32}
    described = json.loads((torch_export / "model.json").read_text())
    assert described["expression_names"] == list(BASIC_EXPRESSIONS)
    assert described["weights"] == "torch"
    parity = described["parity"]
    assert parity["different_tensors"] == 0
    assert parity["tensors"] == len(read_tensors(torch_export))
    assert set(parity["largest_differences"]) == {
        "expression_logits",
        "generated_image",
        "face_discriminator_logits",
        "expression_discriminator_logits",
    }
    assert all(0 <= value < 1e-4 for value in parity["largest_differences"].values())
    out = tmp_path / "again"
    assert main(["export", str(run_folder), "--format", "torch", "--out", str(out)]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "bit-identical tensors" in out and "largest difference of generated image" in out


def test_safetensors_export_has_the_same_keys_under_prefixes(safetensors_export, torch_export):
    names = {path.name for path in safetensors_export.iterdir()}
    assert names == {"model.json", "weights.safetensors"}
    combined = safetensors.numpy.load_file(safetensors_export / "weights.safetensors")
    prefixes = ("enc_FR.", "enc_ER.", "fc_ER.", "dec.", "Dis_FR.", "Dis_ER.")
    expected = {}
    for stem, prefix in zip(STEMS, prefixes, strict=True):
        for key, value in torch.load(torch_export / f"{stem}.pkl", weights_only=True).items():
            expected[prefix + key] = value.numpy()
    assert combined.keys() == expected.keys()
    for key, value in expected.items():
        assert combined[key].tobytes() == value.tobytes()
    parity = json.loads((safetensors_export / "model.json").read_text())["parity"]
    assert parity["tensors"] == len(expected) and parity["different_tensors"] == 0


@pytest.mark.parametrize(("precision", "largest_error"), [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_half_precision_halves_the_file_and_rounds_each_weight(
    precision, largest_error, run_folder, safetensors_export, tmp_path
):
    out = tmp_path / "half"
    command = ["export", str(run_folder), "--format", "safetensors", "--precision", precision]
    assert main([*command, "--out", str(out)]) == 0
    file, whole = (folder / "weights.safetensors" for folder in (out, safetensors_export))
    assert file.stat().st_size < 0.6 * whole.stat().st_size
    stored, expected = map(safetensors.numpy.load_file, (file, whole))
    assert stored.keys() == expected.keys()
    for key, value in expected.items():
        assert stored[key].dtype.name == precision
        np.testing.assert_allclose(
            stored[key].astype(np.float32), value, rtol=largest_error, atol=1e-7
        )
    parity = json.loads((out / "model.json").read_text())["parity"]
    assert parity["precision"] == precision and parity["different_tensors"] == 0
    picture = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    probabilities = [tdgan_jax.load(folder).predict(picture)[1] for folder in (out, run_folder)]
    np.testing.assert_allclose(*probabilities, atol=0.05)


def test_an_export_says_how_faces_are_cut_out_where_the_training_images_do_not(
    run_folder, tmp_path, capfd
):
    command = ["export", str(run_folder), "--format", "safetensors", "--crop", "box"]
    out = tmp_path / "boxes"
    assert main([*command, "--crop-margin", "0", "--out", str(out)]) == 0
    crop = tdgan_jax.load(out).face_crop
    assert crop is not None and (crop["style"], crop["margin"]) == ("box", 0)
    capfd.readouterr()
    again = ["export", str(out), "--format", "safetensors", "--out", str(tmp_path / "again")]
    assert main([*again, "--crop", "eyes"]) == 2
    assert "leave out --crop" in the_one_line(capfd)
    assert main([*again, "--crop-margin", "-1"]) == 1
    assert "the margin is -1" in the_one_line(capfd)
    assert not (tmp_path / "again").exists()


def test_half_precision_is_for_safetensors_alone_and_must_hold_the_weights(
    run_folder, tmp_path, capfd
):
    command = ["export", str(run_folder), "--precision", "float16", "--out", str(tmp_path / "out")]
    assert main([*command, "--format", "torch"]) == 2
    assert "float16 is for --format safetensors" in the_one_line(capfd)
    with pytest.raises(UserError, match="a's b is too large for float16; use bfloat16"):
        rounded({"a": {"b": np.array([1e5], np.float32)}}, "float16")


def test_onnx_export_has_a_free_batch(run_folder, tmp_path, capfd):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "onnx"
    assert main(["export", str(run_folder), "--format", "onnx", "--out", str(out)]) == 0
    assert capfd.readouterr().err == ""
    names = {path.name for path in out.iterdir()}
    assert names == {"model.json", "recogniser.onnx", "generator.onnx"}
    differences = json.loads((out / "model.json").read_text())["parity"]["largest_differences"]
    assert set(differences) == {"expression_logits", "generated_image"}
    assert all(0 <= value < 1e-4 for value in differences.values())
    session = onnxruntime.InferenceSession(out / "generator.onnx")
    assert [(i.name, i.shape[1:]) for i in session.get_inputs()] == [
        ("face", [1, 32, 32]),
        ("expression", [1, 32, 32]),
        ("noise", [4, 2, 2]),
    ]
    inputs = {i.name: np.zeros((5, *i.shape[1:]), np.float32) for i in session.get_inputs()}
    assert session.run(["image"], inputs)[0].shape == (5, 1, 32, 32)
    assert import_tdgan(out, tmp_path / "m") == 1
    assert "is an ONNX export, which holds no weights for training" in the_one_line(capfd)


@pytest.mark.parametrize(
    ("package", "weights_format", "extra"),
    [("torch", "torch", "torch"), ("onnxruntime", "onnx", "onnx"), ("onnxscript", "onnx", "onnx")],
)
def test_a_missing_package_is_named(
    run_folder, tmp_path, capfd, monkeypatch, package, weights_format, extra
):
    pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, package, None)
    command = ["export", str(run_folder), "--format", weights_format, "--out"]
    assert main([*command, str(tmp_path / "out")]) == 1
    assert f"pip install 'tdgan-jax[{extra}]'" in the_one_line(capfd)
    assert not list(tmp_path.iterdir())


def test_an_existing_output_is_refused_and_replaced_as_a_whole(
    safetensors_export, run_folder, tmp_path, capfd
):
    out = tmp_path / "out"
    command = ["export", str(safetensors_export), "--format", "safetensors", "--out", str(out)]
    assert main(command) == 0
    (out / "left.pkl").touch()
    capfd.readouterr()
    assert main(command) == 1
    assert "exists; add --overwrite" in the_one_line(capfd)
    assert main([*command, "--overwrite"]) == 0
    assert {path.name for path in out.iterdir()} == {"model.json", "weights.safetensors"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    # Nothing is replaced but exports: not a run, not a folder of somebody's files.
    capfd.readouterr()
    for folder in (run_folder, run_folder.parent):
        before = sorted(run_folder.parent.rglob("*"))
        assert main([*command[:-1], str(folder), "--overwrite"]) == 1
        assert "is no exported or imported model" in the_one_line(capfd)
        assert sorted(run_folder.parent.rglob("*")) == before


def test_a_failed_export_leaves_nothing(run_folder, tmp_path, capfd, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save", fail)
    command = ["export", str(run_folder), "--format", "safetensors", "--out"]
    assert main([*command, str(tmp_path / "out")]) == 1
    assert "No space left on device" in the_one_line(capfd)
    assert not list(tmp_path.iterdir())


def test_files_that_compute_something_else_are_not_exported(
    run_folder, tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(torch, "relu", torch.nn.functional.elu)  # in the twin
    command = ["export", str(run_folder), "--format", "torch", "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert "the exported files compute another" in the_one_line(capfd)
    assert not list(tmp_path.iterdir())


def test_import_says_what_it_found_and_assumed(weights, torch_export, tmp_path, capfd):
    assert import_tdgan(weights, tmp_path / "m") == 0
    out, err = capfd.readouterr()
    assert err == ""
    found, *assumed = out.splitlines()
    assert found.endswith("tdgan, 32x32x1, 7 expressions, 3 identities")
    assert assumed == [
        "  assumed: dropout_rate is 0.5, which the weights do not tell",
        "  assumed: decoder_norm is instance, which the weights do not tell",
        "  assumed: the expressions are those of the published weights, in their order: "
        f"{', '.join(BASIC_EXPRESSIONS)} (other names: --labels)",
        "  assumed: pictures are resized as a whole, as the released program tests on RAF-DB",
    ]
    described = json.loads((tmp_path / "m" / "model.json").read_text())
    assert described["assumptions"] == [line.removeprefix("  assumed: ") for line in assumed]
    original = json.loads((torch_export / "model.json").read_text())
    assert described["architecture"] == original["architecture"] | {"dropout_rate": 0.5}
    assert described["identity_names"] is None


def test_old_files_and_other_suffixes_are_imported(weights, torch_export, tmp_path, capfd):
    def add_running_statistics(state_dict):
        for key in [key for key in state_dict if key.endswith("bn.weight")]:
            for name in ("running_mean", "running_var"):
                state_dict[key.replace("weight", name)] = torch.full((2,), torch.nan)

    change(weights / "Enc_ER_G.pkl", add_running_statistics)
    for suffix, stem in zip((".pth", ".pt"), ("dec", "Dis_FR"), strict=True):
        (weights / f"{stem}.pkl").rename(weights / f"{stem}{suffix}")
    state_dict = torch.load(weights / "Dis_ER.pkl", weights_only=True)
    torch.save(state_dict, weights / "Dis_ER.pkl", _use_new_zipfile_serialization=False)
    assert import_tdgan(weights, tmp_path / "m") == 0
    capfd.readouterr()
    again = tmp_path / "again"
    assert main(["export", str(tmp_path / "m"), "--format", "torch", "--out", str(again)]) == 0
    exported, expected = read_tensors(again), read_tensors(torch_export)
    assert exported.keys() == expected.keys()
    for key, value in expected.items():
        assert exported[key].tobytes() == value.tobytes(), key


def test_a_checkpoint_of_several_devices_is_imported_and_said(
    weights, torch_export, tmp_path, capfd
):
    state_dict = torch.load(weights / "dec.pkl", weights_only=True)
    prefixed = {f"module.{key}": value for key, value in state_dict.items()}
    torch.save({"epoch": 9, "model": prefixed}, weights / "dec.pkl")
    assert import_tdgan(weights, tmp_path / "m") == 0
    assert capfd.readouterr().out.splitlines()[1:3] == [
        "  assumed: dec.pkl: the weights are its 'model'; left out: epoch",
        "  assumed: dec.pkl: the 'module.' before each key is left out",
    ]


def test_labels_are_taken_by_name_and_checked(weights, torch_export, tmp_path, capfd):
    labels = "happy,sad,angry,neutral,surprise,smirk,fear"
    assert import_tdgan(weights, tmp_path / "m", "--labels", labels) == 0
    assert "expressions are those" not in capfd.readouterr().out
    described = json.loads((tmp_path / "m" / "model.json").read_text())
    named = ["happiness", "sadness", "anger", "neutral", "surprise", "smirk", "fear"]
    assert described["expression_names"] == named
    for wrong, message in (
        ("a,b", "--labels has 2 names, the weights tell 7 expressions apart"),
        ("a,b,c,d,e,f,a", "--labels needs different names"),
        ("a,b,c,d,e,f,", "--labels needs different names"),
        ("happy,happiness,a,b,c,d,e", "--labels needs different names"),
    ):
        assert import_tdgan(weights, tmp_path / "n", "--labels", wrong) == 2
        assert message in the_one_line(capfd)
    for name in ("fc_ER_G", "Dis_ER"):
        for key in ("fc3.weight", "fc3.bias"):
            key = key if name == "fc_ER_G" else f"fc.{key}"
            change(weights / f"{name}.pkl", lambda d, key=key: d.update({key: d[key][:5].clone()}))
    assert import_tdgan(weights, tmp_path / "n") == 2
    assert "tell 5 expressions apart and nothing names them; add --labels" in the_one_line(capfd)
    assert import_tdgan(weights, tmp_path / "n", "--labels", "a,b,c,d,e") == 0


def set_not_finite(state_dict):
    state_dict["us3.0.weight"][0, 0, 0, 0] = torch.nan


BROKEN = [
    ("dec", lambda d: d.pop("us3.0.weight"), "dec does not fit: .*without a value us3.0.weight"),
    ("dec", lambda d: d.update(extra=torch.zeros(1)), "dec does not fit: unknown keys extra;"),
    (
        "Dis_ER",
        lambda d: d.update({"enc.conv3.0.bn.bias": torch.zeros(5)}),
        r"Dis_ER does not fit: enc.conv3.0.bn.bias has the shape \(5,\), not \(8,\)",
    ),
    (
        "dec",
        lambda d: d.update({"us2.0.weight": torch.zeros(5)}),
        r"us2.0.weight has the shape \(5,\), not \(32, 16, 4, 4\)",
    ),
    ("dec", set_not_finite, "dec is damaged: us3.0.weight holds values that are not finite"),
    (
        "fc_ER_G",
        lambda d: d.update({"fc2.bias": torch.full((64,), 1e300, dtype=torch.float64)}),
        "fc_ER_G is damaged: fc2.bias holds values that are not finite",
    ),
    (
        "Enc_FR_G",
        lambda d: (d.clear(), d.update(x=torch.zeros(1))),
        "unknown keys x; .* and 27 more",
    ),
    ("fc_ER_G", lambda d: d.pop("fc1.weight"), "fc1.weight is missing; these are not TDGAN's"),
]


@pytest.mark.parametrize(("stem", "edit", "message"), BROKEN)
def test_weights_that_do_not_fit_are_one_line(weights, tmp_path, capfd, stem, edit, message):
    change(weights / f"{stem}.pkl", edit)
    assert import_tdgan(weights, tmp_path / "m") == 1
    assert re.search(message, the_one_line(capfd))
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_a_malicious_pickle_does_nothing(weights, tmp_path, capfd):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "it_ran",)

    for stem in STEMS:
        kept = (weights / f"{stem}.pkl").read_bytes()
        state_dict = torch.load(weights / f"{stem}.pkl", weights_only=True)
        torch.save(dict(state_dict) | {"x": Touch()}, weights / f"{stem}.pkl")
        assert import_tdgan(weights, tmp_path / "m") == 1
        assert "only plain state dicts are, since other pickles can run" in the_one_line(capfd)
        (weights / f"{stem}.pkl").write_bytes(kept)
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "w", "--out", "m"], "--model"),
        (["import", "w", "--model", "vgg", "--out", "m"], "invalid choice: 'vgg'"),
        (["export", "m", "--out", "x"], "--format"),
        (["export", "m", "--format", "keras", "--out", "x"], "invalid choice: 'keras'"),
    ],
)
def test_wrong_use_is_exit_code_2(arguments, message, capfd):
    assert main(arguments) == 2
    assert message in capfd.readouterr().err


@pytest.mark.parametrize("command", ["export", "import"])
def test_help_has_an_example(command, capfd):
    assert main([command, "--help"]) == 0
    assert f"tdgan-jax {command} " in capfd.readouterr().out.split("examples:")[1]


def damaged(random, content):
    """A file's content with bytes flipped, cut or put in."""
    kind = random.integers(3)
    place = int(random.integers(len(content)))
    if random.integers(2):  # where the structure stands, not only in the tensors
        place = min(place, int(random.integers(1, 2000)))
    if kind == 0:
        flipped = bytearray(content)
        for offset in random.integers(0, 40, random.integers(1, 6)):
            flipped[(place + offset) % len(content)] ^= 1 << int(random.integers(8))
        return bytes(flipped)
    if kind == 1:
        return content[:place] + content[place + int(random.integers(1, len(content))) :]
    return content[:place] + random.bytes(int(random.integers(1, 200))) + content[place:]


def test_a_hundred_damaged_files(torch_export, safetensors_export, tmp_path, capfd):
    random = np.random.default_rng(0)
    faulthandler.dump_traceback_later(300, exit=True)  # instead of hanging
    refused = 0
    try:
        for number in range(100):
            original = (torch_export, safetensors_export)[number % 2]
            source = tmp_path / "source"
            shutil.copytree(original, source)
            files = sorted(path for path in source.iterdir() if path.suffix != ".json")
            target = files[random.integers(len(files))]
            target.write_bytes(damaged(random, target.read_bytes()))
            start = time.monotonic()
            code = import_tdgan(source, tmp_path / "m")
            assert time.monotonic() - start < 30
            if code:
                refused += 1
                assert code == 1
                the_one_line(capfd)
                assert [path.name for path in tmp_path.iterdir()] == ["source"]
            else:  # the damage is in the values of a tensor
                assert capfd.readouterr().err == ""
                names = {path.name for path in (tmp_path / "m").iterdir()}
                assert names == {"model.json", "weights.safetensors"}
                shutil.rmtree(tmp_path / "m")
            shutil.rmtree(source)
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert refused > 60


def test_the_example_of_the_documentation(torch_export, tmp_path, monkeypatch, capfd):
    page = (ROOT / "docs" / "export.md").read_text()
    (example,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        if "load_networks" in block
    )
    assert len(example.strip().splitlines()) == 10
    shutil.copy(ROOT / "tdgan_jax" / "torch_weights" / "tdgan_torch.py", tmp_path)
    shutil.copytree(torch_export, tmp_path / "exported")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    exec(compile(example, "export.md", "exec"), {})
    printed = capfd.readouterr().out
    assert printed.split()[0] in BASIC_EXPRESSIONS
    assert "torch.Size([1, 1, 32, 32])" in printed
    # The copy stands alone: nothing of this package is imported by it.
    assert "tdgan_jax" not in re.sub(r'""".*?"""', "", (tmp_path / "tdgan_torch.py").read_text())
