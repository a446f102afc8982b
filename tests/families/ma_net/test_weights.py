"""MA-Net's files and table: both ways bit for bit, its checkpoints, and start weights."""

import json

import jax
import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.families.ma_net.architecture import ma_net_architecture
from tdgan_jax.families.ma_net.weights import (
    FILE_STEMS,
    MODULE_PREFIXES,
    ma_net_from_torch,
    read_start_weights,
    torch_from_ma_net,
    without_heads,
)
from tdgan_jax.torch_weights.state_files import (
    read_networks,
    read_state_dict,
    to_tensors,
    write_safetensors_file,
    write_torch_files,
)
from tests.families.ma_net.small_ma_net import SMALL, small_shapes, small_tree


def same(first, second) -> bool:
    return jax.tree.structure(first) == jax.tree.structure(second) and jax.tree.all(
        jax.tree.map(np.array_equal, first, second)
    )


@pytest.fixture(scope="module")
def trees():
    return small_tree()[1]


@pytest.fixture
def state_dicts(trees):
    return torch_from_ma_net(trees)


def test_weights_survive_the_way_to_torch_and_back_bit_for_bit(trees, state_dicts):
    assert len(state_dicts["network"]) == 692
    assert same(ma_net_from_torch(state_dicts, small_shapes()[1]), trees)


def test_keys_stand_in_the_order_of_the_specification(state_dicts):
    keys = list(state_dicts["network"])
    modules = list(dict.fromkeys(key.split(".")[0] for key in keys))
    patches = [f"layer{stage}_1_p{patch}" for patch in (1, 2, 3, 4) for stage in (3, 4)]
    assert modules == [
        *("conv1", "bn1", "layer1", "layer2"),
        *patches,
        *("layer3_2", "layer4_2", "fc_1", "fc_2"),
    ]

    def modules_of(block):
        inside = [k.removeprefix(f"{block}.") for k in keys if k.startswith(f"{block}.")]
        return list(dict.fromkeys(key.split(".")[0] for key in inside))

    basic = ["conv1", "bn1", "conv2", "bn2"]
    assert modules_of("layer1.0") == basic
    assert modules_of("layer2.0") == [*basic, "downsample"]
    assert modules_of("layer4_1_p3.0") == [*basic, "downsample", "cbam"]
    assert modules_of("layer3_1_p1.1") == [*basic, "cbam"]
    bodies = [f"{n}{body}_2_{k}" for body in (1, 2) for k in (1, 2, 3, 4) for n in ("conv", "bn")]
    assert modules_of("layer3_2.0") == ["conv1", "bn1", *bodies, "downsample"]
    assert modules_of("layer4_2.1") == ["conv1", "bn1", *bodies]


class RecorderMeter:
    """As the released training script keeps it."""

    def __init__(self, total_epoch):
        self.total_epoch = total_epoch
        self.epoch_losses = np.zeros((total_epoch, 2), dtype=np.float32)
        self.epoch_accuracy = np.zeros((total_epoch, 2), dtype=np.float32)


def released_checkpoint(torch, state_dict):
    tensors = {f"module.{key}": value for key, value in to_tensors(state_dict).items()}
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    optimizer = torch.optim.SGD([parameter], 0.01, momentum=0.9, weight_decay=1e-4)
    optimizer.step()
    return {
        "epoch": 4,
        "state_dict": tensors,
        "best_acc": torch.tensor([64.5]),
        "optimizer": optimizer.state_dict(),
        "recorder": RecorderMeter(20),
    }


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before 1.6"])
def test_a_released_checkpoint_is_read_without_its_recorder(tmp_path, trees, state_dicts, is_zip):
    torch = pytest.importorskip("torch", reason="the file is PyTorch's")
    path = tmp_path / "model_best.pth.tar"
    checkpoint = released_checkpoint(torch, state_dicts["network"])
    torch.save(checkpoint, path, _use_new_zipfile_serialization=is_zip)
    for source in (tmp_path, path):
        notes = []
        read = read_networks(source, stems=FILE_STEMS, prefixes=MODULE_PREFIXES, say=notes.append)
        assert same(ma_net_from_torch(read, trees), trees)
        assert notes == [
            "model_best.pth.tar: the weights are its 'state_dict'; left out: epoch, best_acc, "
            "optimizer, recorder",
            "model_best.pth.tar: the 'module.' before each key is left out",
        ]


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_our_own_files_are_read_bit_for_bit(tmp_path, trees, state_dicts, form):
    if form == "torch":
        pytest.importorskip("torch", reason="the file is PyTorch's")
        write_torch_files(tmp_path, state_dicts, FILE_STEMS)
    else:
        write_safetensors_file(tmp_path, state_dicts, MODULE_PREFIXES)
    read = read_networks(tmp_path, stems=FILE_STEMS, prefixes=MODULE_PREFIXES)
    assert same(ma_net_from_torch(read, trees), trees)


def test_start_weights_of_other_classes_leave_the_heads(tmp_path, state_dicts):
    torch = pytest.importorskip("torch", reason="the file is PyTorch's")
    faces = torch_from_ma_net(small_tree(num_expressions=126, seed=1)[1])["network"]
    tensors = {f"module.{key}": value for key, value in to_tensors(faces).items()}
    path = tmp_path / "Pretrained_on_MSCeleb.pth.tar"
    torch.save({"state_dict": tensors}, path)
    own = small_tree()[1]["network"]
    started = read_start_weights(path, own)
    returned = torch_from_ma_net({"network": started})["network"]
    for key, value in returned.items():
        source = state_dicts["network"] if key.startswith("fc_") else faces
        np.testing.assert_array_equal(value, source[key], err_msg=key)


def test_the_heads_stay_even_where_they_would_fit(state_dicts):
    own = small_tree(seed=1)[1]["network"]
    fitted = without_heads(state_dicts["network"], own, source="start.pth")
    assert same(fitted.parameters["local_fc"], own["local_fc"])
    assert not same(fitted.parameters["conv1"], own["conv1"])
    heads = {f"fc_{i}.{name}" for i in (1, 2) for name in ("weight", "bias")}
    assert set(fitted.kept) == set(fitted.unused) == heads


def test_start_weights_of_another_network_are_refused(state_dicts):
    own = small_tree(width=8)[1]["network"]
    with pytest.raises(UserError, match="start.pth does not fit: conv1.weight has the shape"):
        without_heads(state_dicts["network"], own, source="start.pth")
    del state_dicts["network"]["layer3_2.0.bn2_2_4.bias"]
    with pytest.raises(UserError, match="without a value layer3_2.0.bn2_2_4.bias"):
        without_heads(state_dicts["network"], small_tree()[1]["network"], source="start.pth")


@pytest.mark.parametrize("key", ["layer3_1_p2.0.cbam.SpatialGate.spatial.bn.bias", "fc_2.bias"])
def test_missing_and_unknown_keys_are_refused(trees, state_dicts, key):
    value = state_dicts["network"].pop(key)
    with pytest.raises(UserError, match=f"network does not fit.*{key}"):
        ma_net_from_torch(state_dicts, trees)
    state_dicts["network"] |= {key: value, "layer5.weight": value}
    with pytest.raises(UserError, match="unknown keys layer5.weight"):
        ma_net_from_torch(state_dicts, trees)


def test_the_architecture_stands_in_the_shapes(state_dicts):
    found = ma_net_architecture(state_dicts)
    assert (found.num_expressions, found.num_identities) == (5, 0)
    assert found.architecture == {
        "image_channels": 3,
        "width": 4,
        "attention_reduction": SMALL["attention_reduction"],
        "image_size_px": 224,
        "second_direction": "forward",
    }
    assert found.untold == ("image_size_px", "second_direction")
    small_shapes(**found.architecture)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("layer3_1_p4.0.cbam.ChannelGate.mlp.1.weight", None, "there is no layer3_1_p4.0.cbam"),
        ("conv1.weight", (64, 3), r"there is conv1.weight of the shape \(64, 3\)"),
        ("fc_2.weight", (0, 4), "there is fc_2.weight of the shape"),
    ],
)
def test_weights_of_something_else_are_named(state_dicts, key, shape, message):
    del state_dicts["network"][key]
    if shape is not None:
        state_dicts["network"][key] = np.zeros(shape, np.float32)
    with pytest.raises(UserError, match=f"these are not the weights of a MA-Net: {message}"):
        ma_net_architecture(state_dicts)


def test_the_twin_loads_an_export(tmp_path, state_dicts):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.ma_net.twin import load_recogniser

    write_torch_files(tmp_path, state_dicts, FILE_STEMS)
    described = {
        "architecture": ma_net_architecture(state_dicts).architecture,
        "expression_names": list("abcde"),
        "preprocessing": {"channel_order": "bgr", "mean": [0.5], "deviation": [0.25]},
    }
    (tmp_path / "model.json").write_text(json.dumps(described))
    recogniser = load_recogniser(tmp_path)
    assert not recogniser.training
    images = torch.rand(2, 3, 64, 64)
    expected = recogniser.network((images.flip(1) - 0.5) / 0.25)
    torch.testing.assert_close(recogniser(images), expected)
    read = read_state_dict(tmp_path / "network.pkl")
    for key, value in recogniser.network.state_dict().items():
        np.testing.assert_array_equal(read[key], value, err_msg=key)
