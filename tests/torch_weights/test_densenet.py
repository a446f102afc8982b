"""torchvision's keys of a DenseNet both ways, and ImageNet files of all ages."""

import re

import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from tdgan_jax.errors import UserError
from tdgan_jax.networks.densenet import DenseNet
from tdgan_jax.torch_weights.densenet import (
    densenet_from_torch,
    imagenet_densenet,
    read_imagenet_densenet,
    torch_from_densenet,
)
from tests.families.ifgan.ifgan_networks import random_tree

SIZES = {"block_layers": (2, 11), "growth_rate": 2, "initial_channels": 4}


def shapes_of(**options):
    network = nnx.eval_shape(lambda: DenseNet(rngs=nnx.Rngs(0), **(SIZES | options)))
    return nnx.to_pure_dict(nnx.state(network))


@pytest.fixture(scope="module")
def state_dict():
    return torch_from_densenet(random_tree(shapes_of()))


def owners_file(state_dict, *, is_old: bool):
    """What torchvision hands out: everything under `features.`, a classifier of 1,000 classes."""
    file = {
        f"features.{key}": value
        for key, value in state_dict.items()
        if not (is_old and key.endswith("num_batches_tracked"))
    }
    if is_old:
        file = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", k): v for k, v in file.items()}
        assert "features.denseblock2.denselayer11.norm.1.weight" in file
        assert "features.transition1.norm.weight" in file
    return file | {
        "classifier.weight": np.zeros((1000, 28), np.float32),
        "classifier.bias": np.zeros(1000, np.float32),
    }


def test_the_way_there_and_back(state_dict):
    tree = densenet_from_torch(state_dict, shapes_of())
    again = torch_from_densenet(tree)
    assert list(again) == list(state_dict)
    for key, value in state_dict.items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("is_old", [True, False])
def test_old_and_new_files(tmp_path, state_dict, is_old, suffix):
    path = tmp_path / f"densenet{suffix}"
    file = owners_file(state_dict, is_old=is_old)
    if suffix == ".pth":
        torch = pytest.importorskip("torch", reason="the file is PyTorch's")
        torch.save({key: torch.tensor(value) for key, value in file.items()}, path)
    else:
        save_file(file, path)
    loaded = torch_from_densenet(read_imagenet_densenet(path, shapes_of()))
    for key, value in state_dict.items():
        np.testing.assert_array_equal(loaded[key], value, err_msg=key)


def test_gray_images_see_the_sum_over_the_colours(state_dict):
    tree = imagenet_densenet(
        owners_file(state_dict, is_old=True), shapes_of(image_channels=1), source="file"
    )
    first = torch_from_densenet(tree)["conv0.weight"]
    np.testing.assert_allclose(first, state_dict["conv0.weight"].sum(axis=1, keepdims=True))


def test_files_of_other_networks_are_refused(state_dict):
    file = owners_file(state_dict, is_old=False)
    with pytest.raises(UserError, match=r"layers, the configuration names .2, 12.; give the file"):
        imagenet_densenet(file, shapes_of(block_layers=(2, 12)), source="file")
    with pytest.raises(UserError, match="file does not fit: conv0.weight has the shape"):
        imagenet_densenet(file, shapes_of(initial_channels=6), source="file")
    with pytest.raises(UserError, match="resnet.pth holds no features.conv0.weight for 3 channels"):
        imagenet_densenet(
            {"conv1.weight": np.zeros((4, 3, 7, 7))}, shapes_of(), source="resnet.pth"
        )
    del file["features.norm5.bias"]
    with pytest.raises(UserError, match="parameters without a value norm5.bias"):
        imagenet_densenet(file, shapes_of(), source="file")
