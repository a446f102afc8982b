"""ESR's files and tables: both ways bit for bit, refused where they do not fit, taken in part."""

import json

import jax
import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.families.esr.architecture import esr_architecture
from tdgan_jax.families.esr.networks import network_names
from tdgan_jax.families.esr.start_weights import given_weights
from tdgan_jax.families.esr.weights import (
    FILE_STEMS,
    FILE_SUFFIX,
    MODULE_PREFIXES,
    esr_fitting_parts,
    esr_from_torch,
    read_esr_files,
    torch_from_esr,
)
from tdgan_jax.torch_weights.state_files import (
    to_tensors,
    write_safetensors_file,
    write_torch_files,
)
from tests.families.esr.small_esr import PLAIN, SMALL, small_shapes, small_tree

CK_PLUS = {
    "num_branches": 4,
    "image_channels": 1,
    "base_widths": (4, 6, 6),
    "base_pooled_layers": (2, 3),
    "branch_widths": (6, 6),
    "branch_pooled_layers": (1,),
    "branch_padded_layers": (),
    "image_size_px": 96,
    "has_attention": False,
}
KINDS = {"diversified": {}, "plain": PLAIN, "ck+": CK_PLUS}


def same(first, second) -> bool:
    return jax.tree.structure(first) == jax.tree.structure(second) and jax.tree.all(
        jax.tree.map(np.array_equal, first, second)
    )


@pytest.fixture(scope="module")
def trees():
    return small_tree()[1]


@pytest.fixture
def state_dicts(trees):
    return torch_from_esr(trees)


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_weights_survive_the_way_to_torch_and_back_bit_for_bit(fields):
    trees = small_tree(**fields)[1]
    returned = esr_from_torch(torch_from_esr(trees), small_shapes(**fields)[1])
    assert same(returned, trees)


def test_keys_stand_in_the_order_of_the_specification(state_dicts):
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    gates = ("mlp.1.weight", "mlp.1.bias", "mlp.3.weight", "mlp.3.bias")
    expected = [
        *(f"conv{i}.{name}" for i in range(1, 5) for name in ("weight", "bias")),
        *(f"bn{i}.{name}" for i in range(1, 5) for name in norm),
    ]
    for i in range(1, 5):
        expected += [f"cbam{i}.ChannelGate.{name}" for name in gates]
        expected.append(f"cbam{i}.SpatialGate.spatial.conv.weight")
        expected += [f"cbam{i}.SpatialGate.spatial.bn.{name}" for name in norm]
    assert list(state_dicts["base"]) == expected
    assert list(state_dicts["branch_2"]) == [*expected, "fc.weight", "fc.bias"]
    plain = torch_from_esr(small_tree(**PLAIN)[1])["branch_1"]
    assert list(plain)[-4:] == [
        *("fc.weight", "fc.bias", "fc_dimensional.weight", "fc_dimensional.bias")
    ]
    assert plain["bn1.num_batches_tracked"].dtype == np.int64


def test_the_files_have_the_names_of_the_released_ones():
    assert FILE_STEMS["base"] + FILE_SUFFIX == "Net-Base-Shared_Representations.pt"
    assert FILE_STEMS["branch_12"] + FILE_SUFFIX == "Net-Branch_12.pt"


def own_files(state_dicts):
    return {name: FILE_STEMS[name] for name in state_dicts}


def test_a_folder_of_released_files_is_read_bit_for_bit(tmp_path, trees, state_dicts):
    pytest.importorskip("torch", reason="the files are PyTorch's")
    write_torch_files(tmp_path, state_dicts, own_files(state_dicts), suffix=FILE_SUFFIX)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "Net-Base-Shared_Representations.pt",
        *(f"Net-Branch_{number}.pt" for number in (1, 2, 3)),
    }
    notes = []
    read = read_esr_files(tmp_path, say=notes.append)
    assert tuple(read) == network_names(3) and not notes
    assert same(esr_from_torch(read, trees), trees)


def test_checkpoints_of_several_devices_are_read(tmp_path, trees, state_dicts):
    torch = pytest.importorskip("torch", reason="the files are PyTorch's")
    for name, state_dict in state_dicts.items():
        tensors = {f"module.{key}": value for key, value in to_tensors(state_dict).items()}
        torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / f"{FILE_STEMS[name]}.pt")
    notes = []
    read = read_esr_files(tmp_path, say=notes.append)
    assert same(esr_from_torch(read, trees), trees)
    assert len(notes) == 8
    assert "Net-Branch_1.pt: the weights are its 'state_dict'; left out: epoch" in notes
    assert "Net-Branch_1.pt: the 'module.' before each key is left out" in notes


def test_one_file_for_all_networks_is_read(tmp_path, trees, state_dicts):
    write_safetensors_file(tmp_path, state_dicts, MODULE_PREFIXES)
    assert same(esr_from_torch(read_esr_files(tmp_path), trees), trees)


def test_a_gap_between_the_branches_is_named(tmp_path, trees, state_dicts):
    pytest.importorskip("torch", reason="the files are PyTorch's")
    write_torch_files(tmp_path, state_dicts, own_files(state_dicts), suffix=FILE_SUFFIX)
    (tmp_path / "Net-Branch_2.pt").unlink()
    read = read_esr_files(tmp_path)
    for take in (lambda: esr_from_torch(read, trees), lambda: esr_architecture(read)):
        with pytest.raises(UserError, match=r"of 3 networks and none of branch_2 \(Net-Branch_2\)"):
            take()
    (tmp_path / "Net-Base-Shared_Representations.pt").unlink()
    with pytest.raises(UserError, match="holds no Net-Base-Shared_Representations"):
        read_esr_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("base", "conv3.bias"),
        ("base", "cbam2.SpatialGate.spatial.bn.running_var"),
        ("branch_3", "bn4.weight"),
        ("branch_1", "fc.bias"),
    ],
)
def test_missing_and_unknown_keys_are_refused(trees, state_dicts, name, key):
    value = state_dicts[name].pop(key)
    with pytest.raises(UserError, match=f"{FILE_STEMS[name]} does not fit.*{key}"):
        esr_from_torch(state_dicts, trees)
    state_dicts[name] |= {key: value, "more.weight": value}
    with pytest.raises(UserError, match="unknown keys more.weight"):
        esr_from_torch(state_dicts, trees)


def test_another_number_of_branches_is_named(state_dicts):
    for count in (2, 4):
        shapes = small_shapes(num_branches=count)[1]
        with pytest.raises(
            UserError, match=rf"those of 3 branches, the model has {count} \(model.num_branches\)"
        ):
            esr_from_torch(state_dicts, shapes)


def test_plain_and_diversified_weights_are_told_apart(trees, state_dicts):
    plain = small_shapes(has_attention=False)[1]
    with pytest.raises(
        UserError, match="weights have attention, which the model lacks; change model.has_attention"
    ):
        esr_from_torch(state_dicts, plain)
    without = torch_from_esr(small_tree(has_attention=False)[1])
    with pytest.raises(
        UserError, match="model has attention, which the weights lack; change model.has_attention"
    ):
        esr_from_torch(without, trees)


def test_weights_with_and_without_affect_are_told_apart(trees):
    with_affect = torch_from_esr(small_tree(has_affect=True)[1])
    with pytest.raises(
        UserError, match="Net-Branch_1 does not fit: the weights have a head for valence and arous"
    ):
        esr_from_torch(with_affect, trees)


def test_other_widths_are_named_by_the_tensor(state_dicts):
    shapes = small_shapes(base_widths=(4, 6, 8, 12))[1]
    with pytest.raises(
        UserError, match=r"Shared_Representations does not fit: conv4.weight has the shape \(8, 8,"
    ):
        esr_from_torch(state_dicts, shapes)
    with pytest.raises(UserError, match="conv4.weight has the shape"):
        esr_fitting_parts(state_dicts, small_tree(base_widths=(4, 6, 8, 12))[1])


def test_plain_weights_start_a_diversified_ensemble():
    plain = torch_from_esr(small_tree(**PLAIN, num_branches=2)[1])
    own = small_tree(num_branches=3)[1]
    fitted = esr_fitting_parts(plain, own)
    returned = torch_from_esr(fitted.parameters)
    mine = torch_from_esr(own)
    for name in ("base", "branch_1", "branch_2"):
        for key, value in returned[name].items():
            source = mine if "cbam" in key else plain
            np.testing.assert_array_equal(value, source[name][key], err_msg=key)
    assert same(fitted.parameters["branch_3"], own["branch_3"])
    kept = {key.split(".")[0] for key in fitted.kept}
    assert kept == {"base", "branch_1", "branch_2", "branch_3"}
    assert "base.cbam1.ChannelGate.mlp.1.weight" in fitted.kept and "branch_3" in fitted.kept
    assert set(fitted.unused) == {
        f"branch_{i}.fc_dimensional.{name}" for i in (1, 2) for name in ("weight", "bias")
    }


def test_diversified_weights_start_a_plain_ensemble_of_other_classes(state_dicts):
    own = small_tree(has_attention=False, num_branches=1, num_expressions=7)[1]
    fitted = esr_fitting_parts(state_dicts, own)
    assert set(fitted.kept) == {"branch_1.fc.weight", "branch_1.fc.bias"}
    assert {"branch_2", "branch_3"} < set(fitted.unused)
    assert "base.cbam4.SpatialGate.spatial.bn.running_mean" in fitted.unused
    assert not any("num_batches" in key for key in fitted.unused)
    returned = torch_from_esr(fitted.parameters)["branch_1"]
    np.testing.assert_array_equal(returned["conv1.weight"], state_dicts["branch_1"]["conv1.weight"])
    np.testing.assert_array_equal(
        fitted.parameters["branch_1"]["fc"]["kernel"], own["branch_1"]["fc"]["kernel"]
    )


def test_equal_classes_keep_the_head_that_they_have(trees, state_dicts):
    fitted = esr_fitting_parts(state_dicts, small_tree(num_branches=3)[1])
    assert same(fitted.parameters, trees)
    assert fitted.kept == fitted.unused == ()


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_the_architecture_stands_in_the_shapes(fields):
    sizes = (
        {
            "image_channels": 3,
            "base_pooled_layers": (2, 4),
            "base_padded_layers": (),
            "branch_pooled_layers": (2,),
            "has_attention": True,
            "has_affect": False,
            "prediction": "vote",
        }
        | SMALL
        | fields
    )
    found = esr_architecture(torch_from_esr(small_tree(**fields)[1]))
    assert (found.num_expressions, found.num_identities) == (sizes.pop("num_expressions"), 0)
    assert found.architecture.keys() == sizes.keys()
    for name, value in found.architecture.items():
        if name not in found.untold:
            wanted = list(sizes[name]) if isinstance(sizes[name], tuple) else sizes[name]
            assert value == wanted, name
    assert ("attention_reduction" in found.untold) is (not sizes["has_attention"])
    json.dumps(found.architecture)


def test_the_layout_of_the_known_ensembles_is_assumed():
    wild, small = (esr_architecture(torch_from_esr(small_tree(**f)[1])) for f in ({}, CK_PLUS))
    assert (wild.architecture["branch_padded_layers"], wild.architecture["image_size_px"]) == (
        [4],
        96,
    )
    for name in ("base_pooled_layers", "branch_pooled_layers", "branch_padded_layers"):
        assert small.architecture[name] == list(CK_PLUS[name])
    other = esr_architecture(
        torch_from_esr(small_tree(branch_widths=(8, 8, 8), branch_padded_layers=(1, 2, 3))[1])
    )
    assert other.architecture["base_pooled_layers"] == []
    assert {"base_pooled_layers", "image_size_px"} <= set(other.untold)


@pytest.mark.parametrize(
    ("name", "key", "shape", "message"),
    [
        ("base", "conv1.weight", None, "Net-Base-Shared_Representations has no conv1.weight"),
        ("branch_1", "fc.weight", (3,), r"Net-Branch_1 has fc.weight of the shape \(3,\)"),
        ("base", "conv2.weight", (0, 4, 3, 3), "has conv2.weight of the shape"),
    ],
)
def test_weights_of_something_else_are_named(state_dicts, name, key, shape, message):
    del state_dicts[name][key]
    if shape is not None:
        state_dicts[name][key] = np.zeros(shape, np.float32)
    with pytest.raises(UserError, match=f"not the weights of an ESR: .*{message}"):
        esr_architecture(state_dicts)


@pytest.mark.parametrize("described", [[], {"expression_names": None}, {"expression_names": 5}])
def test_start_weights_with_a_damaged_description_are_one_line(described, tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="model.json is damaged: expression_names is no list"):
        given_weights(tmp_path, open_model)


def test_the_twin_loads_an_export(tmp_path, state_dicts):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.esr.twin import load_ensemble, vote

    write_torch_files(tmp_path, state_dicts, own_files(state_dicts), suffix=FILE_SUFFIX)
    found = esr_architecture(state_dicts)
    architecture = found.architecture | {"branch_padded_layers": [1, 2, 3, 4]}
    preprocessing = {"channel_order": "bgr", "mean": [0.5], "deviation": [0.25, 0.5, 1.0]}
    described = {
        "architecture": architecture,
        "expression_names": list("abcde"),
        "preprocessing": preprocessing,
    }
    (tmp_path / "model.json").write_text(json.dumps(described))
    ensemble = load_ensemble(tmp_path)
    assert not ensemble.training
    images = torch.rand(2, 3, 26, 26)
    seen = (images[:, [2, 1, 0]] - 0.5) / torch.tensor([0.25, 0.5, 1.0]).reshape(1, 3, 1, 1)
    expected = [branch(ensemble.base(seen)).logits for branch in ensemble.branches]
    torch.testing.assert_close(ensemble(images).logits, torch.stack(expected))
    assert vote(torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])).tolist() == [0]
