"""The six released state dicts both ways, checkpoints, and what they tell about their networks."""

import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.families.emotion_gcn.architecture import emotion_gcn_architecture
from tdgan_jax.families.emotion_gcn.weights import (
    emotion_gcn_from_torch,
    torch_from_emotion_gcn,
    write_checkpoint,
)
from tdgan_jax.torch_weights.densenet import read_imagenet_densenet
from tdgan_jax.torch_weights.state_files import read_state_dict
from tests.families.emotion_gcn.emotion_networks import (
    MODELS,
    NUM_EXPRESSIONS,
    SMALL,
    adjacency,
    filled_model,
    shapes_of,
    small_word_vectors,
    state_dict_shapes,
)


@pytest.mark.parametrize(("heads", "backbone"), MODELS)
def test_the_way_there_and_back(heads, backbone):
    model = filled_model(heads=heads, backbone=backbone, **SMALL)
    again = torch_from_emotion_gcn({"network": model.parameters})["network"]
    assert list(again) == list(model.state_dict)
    for key, value in model.state_dict.items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)


@pytest.mark.parametrize(("heads", "backbone"), MODELS)
def test_the_keys_are_the_specs(heads, backbone):
    keys = list(filled_model(heads=heads, backbone=backbone, **SMALL).state_dict)
    last = {
        ("emotion_gcn", "densenet"): ["gc1.weight", "gc2.weight"],
        ("emotion_gcn", "bregnext"): ["gc1.weight", "gc2.weight"],
        ("multi_task", "densenet"): [f"lin_{n}.{k}" for n in ("cat", "cont") for k in ("w", "b")],
        ("multi_task", "bregnext"): [f"fc_{n}.{k}" for n in ("cont", "cat") for k in ("w", "b")],
        ("single_task", "densenet"): ["classifier.w", "classifier.b"],
        ("single_task", "bregnext"): ["_fc0.w", "_fc0.b"],
    }[heads, backbone]
    names = {"w": "weight", "b": "bias"}
    last = [".".join((*k.split(".")[:-1], names.get(k.split(".")[-1], "weight"))) for k in last]
    assert keys[-len(last) :] == last
    prefix = {"emotion_gcn": "features." if backbone == "densenet" else "model."}.get(heads)
    if prefix is None:
        prefix = {"single_task": "features.", "multi_task": "model_base."}[heads]
        prefix = prefix if backbone == "densenet" else ""
    assert (
        keys[heads == "emotion_gcn"]
        == f"{prefix}{'' if backbone == 'densenet' else '_'}conv0.weight"
    )
    if backbone == "bregnext":
        layer = [key for key in keys if key.startswith(f"{prefix}_model.1._layer_stack.0.")]
        assert [key.rpartition("_layer_stack.0.")[2] for key in layer] == [
            *(f"_conv{i}.{name}" for i in (0, 1) for name in ("weight", "bias")),
            "_shortcut._a",
            "_shortcut._c",
            *(
                f"_batchnorm_conv{i}.{name}"
                for i in (0, 1)
                for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            ),
        ]
        assert f"{prefix}_model.3.running_var" in keys


def test_word_vectors_have_a_file_of_their_own():
    _, trees = shapes_of(**SMALL)
    model, words = filled_model(**SMALL), small_word_vectors()
    state_dicts = {"network": model.state_dict, "word_vectors": {"vectors": words}}
    parameters = emotion_gcn_from_torch(state_dicts, trees)
    np.testing.assert_array_equal(parameters["word_vectors"]["vectors"], words)
    again = torch_from_emotion_gcn(parameters)
    assert list(again["word_vectors"]) == ["vectors"]
    np.testing.assert_array_equal(again["word_vectors"]["vectors"], words)
    assert again["network"].keys() == model.state_dict.keys()


def test_the_files_own_adjacency_is_taken():
    _, trees = shapes_of(**SMALL)
    state_dict = filled_model(**SMALL).state_dict
    other = np.roll(adjacency(), 1, axis=1).astype(np.float32)
    parameters = emotion_gcn_from_torch(
        {"network": state_dict | {"A": other}}, {"network": trees["network"]}
    )
    np.testing.assert_array_equal(parameters["network"]["graph"]["adjacency"], other)
    other[3] = 0
    with pytest.raises(UserError, match="a row of A does not sum above 0"):
        emotion_gcn_from_torch(
            {"network": state_dict | {"A": other}}, {"network": trees["network"]}
        )


@pytest.mark.parametrize(("heads", "backbone"), MODELS)
def test_weights_that_do_not_fit_are_refused(heads, backbone):
    _, trees = shapes_of(heads=heads, backbone=backbone, **SMALL)
    template = {"network": trees["network"]}
    state_dict = filled_model(heads=heads, backbone=backbone, **SMALL).state_dict
    last = list(state_dict)[-1]
    with pytest.raises(UserError, match="unknown keys more; parameters without a value none"):
        emotion_gcn_from_torch({"network": state_dict | {"more": np.zeros(1)}}, template)
    with pytest.raises(UserError, match=f"parameters without a value {last}"):
        short = {key: value for key, value in state_dict.items() if key != last}
        emotion_gcn_from_torch({"network": short}, template)
    with pytest.raises(UserError, match=f"{last} has the shape"):
        emotion_gcn_from_torch({"network": state_dict | {last: np.zeros((1, 1))}}, template)


@pytest.mark.parametrize(("heads", "backbone"), MODELS)
def test_weights_tell_their_architecture(heads, backbone):
    state_dict = filled_model(heads=heads, backbone=backbone, **SMALL).state_dict
    found = emotion_gcn_architecture({"network": state_dict})
    assert found.num_expressions == NUM_EXPRESSIONS
    told = ("block_layers", "growth_rate", "initial_channels", "bottleneck_factor")
    told = told if backbone == "densenet" else ("stage_layers", "stage_widths")
    told += ("word_vector_size", "graph_channels") if heads == "emotion_gcn" else ()
    assert {name: found.architecture[name] for name in told} == {name: SMALL[name] for name in told}
    assert found.architecture["heads"] == heads and found.architecture["backbone"] == backbone
    assert {"image_size_px", "adjacency_form"} <= set(found.untold)
    assert not set(told) & set(found.untold)
    # What was found makes a network that the weights fit.
    sized = found.architecture | {"image_size_px": SMALL["image_size_px"]}
    _, trees = shapes_of(**sized)
    emotion_gcn_from_torch({"network": state_dict}, {"network": trees["network"]})


@pytest.mark.parametrize("backbone", ["densenet", "bregnext"])
def test_the_released_architecture_is_the_default(backbone):
    _, trees = shapes_of(backbone=backbone, image_size_px=112)
    shapes = state_dict_shapes(trees["network"])
    state_dict = {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()}
    found = emotion_gcn_architecture({"network": state_dict})
    assert found.architecture == {
        "heads": "emotion_gcn",
        "backbone": backbone,
        "image_size_px": 227 if backbone == "densenet" else 112,
        "image_channels": 3,
        "block_layers": (6, 12, 24, 16),
        "growth_rate": 32,
        "initial_channels": 64,
        "bottleneck_factor": 4,
        "stage_layers": (7, 8, 7),
        "stage_widths": (32, 64, 128),
        "word_vector_size": 300,
        "graph_channels": 512,
        "adjacency_form": "transposed",
    }


def test_weights_of_other_networks_are_refused():
    with pytest.raises(UserError, match="not the weights of an Emotion-GCN or a baseline of it"):
        emotion_gcn_architecture({"network": {"conv1.weight": np.zeros((2, 3, 3, 3))}})
    state_dict = filled_model(**SMALL).state_dict
    with pytest.raises(UserError, match="there is gc1.weight of the shape .5,."):
        emotion_gcn_architecture({"network": state_dict | {"gc1.weight": np.zeros(5)}})
    with pytest.raises(UserError, match="there is no conv0.weight"):
        emotion_gcn_architecture(
            {"network": {k: v for k, v in state_dict.items() if k != "features.conv0.weight"}}
        )
    with pytest.raises(UserError, match="A is for 0 expressions"):
        emotion_gcn_architecture({"network": state_dict | {"A": np.zeros((2, 2))}})


@pytest.mark.parametrize("with_optimizer", [True, False])
def test_a_checkpoint_of_the_released_program(tmp_path, with_optimizer):
    torch = pytest.importorskip("torch", reason="the file is PyTorch's")
    state_dict = filled_model(backbone="bregnext", **SMALL).state_dict
    path = tmp_path / "emotion_gcn"  # the program's users give no suffix
    if with_optimizer:
        tensors = {key: torch.tensor(value) for key, value in state_dict.items()}
        parameter = torch.nn.Parameter(torch.ones(2))
        optimizer = torch.optim.SGD([parameter], 0.1, momentum=0.9)
        parameter.sum().backward()
        optimizer.step()
        content = {"epoch": 6, "model_state_dict": tensors}
        torch.save(content | {"optimizer_state_dict": optimizer.state_dict()}, path)
    else:
        write_checkpoint(path, state_dict, epoch=3)
        loaded = torch.load(path, weights_only=True)
        assert list(loaded) == ["epoch", "model_state_dict", "optimizer_state_dict"]
        assert loaded["epoch"] == 3
    read = read_state_dict(path)
    assert list(read) == list(state_dict)
    for key, value in state_dict.items():
        np.testing.assert_array_equal(read[key], value, err_msg=key)


def test_a_bare_state_dict_is_read_like_a_checkpoint(tmp_path):
    torch = pytest.importorskip("torch", reason="the file is PyTorch's")
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    read = read_state_dict(tmp_path / "a.pth")
    np.testing.assert_array_equal(read["a"], [1, 1])


def test_imagenet_weights_for_the_backbone(tmp_path):
    torch = pytest.importorskip("torch", reason="the file is PyTorch's")
    state_dict = filled_model(heads="single_task", **SMALL).state_dict
    torch.save({k: torch.tensor(v) for k, v in state_dict.items()}, tmp_path / "densenet.pth")
    _, trees = shapes_of(**SMALL)
    tree = read_imagenet_densenet(tmp_path / "densenet.pth", trees["network"]["backbone"])
    network = filled_model(**SMALL).parameters | {"backbone": tree}
    after = torch_from_emotion_gcn({"network": network})["network"]
    for key, value in state_dict.items():
        if key.startswith("features."):
            np.testing.assert_array_equal(after[key], value, err_msg=key)
