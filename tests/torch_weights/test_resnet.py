"""torchvision's keys both ways, and ImageNet weights for other inputs and classes."""

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from tdgan_jax.errors import UserError
from tdgan_jax.networks.resnet import ResNet
from tdgan_jax.torch_weights.mapping import _leaves
from tdgan_jax.torch_weights.resnet import (
    imagenet_weights,
    read_imagenet_weights,
    resnet_from_torch,
    resnet_table,
    torch_from_resnet,
    widened_first_convolution,
)
from tests.families.ifgan.ifgan_networks import random_tree


def shapes_of(**options):
    network = nnx.eval_shape(lambda: ResNet(rngs=nnx.Rngs(0), **options))
    return nnx.to_pure_dict(nnx.state(network))


@pytest.fixture(scope="module")
def small_shapes():
    return shapes_of(depth=18, width=2, num_classes=1000)


@pytest.fixture(scope="module")
def small_weights(small_shapes):
    return torch_from_resnet(random_tree(small_shapes))


def test_the_keys_and_shapes_of_resnet_101_are_torchvisions():
    shapes = shapes_of(depth=101, num_classes=1000)
    leaves = _leaves(shapes)
    found = {
        entry.key: entry.layout.to_torch(np.broadcast_to(np.float32(0), leaves[entry.path].shape))
        for entry in resnet_table(shapes)
    }
    counters = [key for key in found if key.endswith("running_var")]
    assert len(found) + len(counters) == 626
    assert found.keys() == {
        *("conv1.weight", "fc.weight", "fc.bias"),
        *(f"bn1.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        *_block_keys((3, 4, 23, 3)),
    }
    for key, shape in {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer3.22.conv2.weight": (256, 256, 3, 3),
        "layer4.0.conv1.weight": (512, 1024, 1, 1),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
        "layer4.0.downsample.1.running_var": (2048,),
        "fc.weight": (1000, 2048),
    }.items():
        assert found[key].shape == shape, key


def _block_keys(num_blocks):
    for stage, count in enumerate(num_blocks, start=1):
        for block in range(count):
            layers = [(f"conv{i}", f"bn{i}") for i in (1, 2, 3)]
            layers += [("downsample.0", "downsample.1")] if block == 0 else []
            for conv, norm in layers:
                yield f"layer{stage}.{block}.{conv}.weight"
                for name in ("weight", "bias", "running_mean", "running_var"):
                    yield f"layer{stage}.{block}.{norm}.{name}"


def test_weights_survive_the_way_to_torch_and_back_bit_for_bit(small_shapes, small_weights):
    returned = resnet_from_torch(small_weights, small_shapes)
    expected = random_tree(small_shapes)
    assert jax.tree.structure(returned) == jax.tree.structure(expected)
    assert jax.tree.all(jax.tree.map(np.array_equal, returned, expected))
    assert small_weights["bn1.num_batches_tracked"].dtype == np.int64


@pytest.mark.parametrize("missing", ["layer2.0.downsample.0.weight", "bn1.running_mean"])
def test_a_missing_key_is_refused(small_shapes, small_weights, missing):
    incomplete = {key: value for key, value in small_weights.items() if key != missing}
    with pytest.raises(UserError, match=missing):
        resnet_from_torch(incomplete, small_shapes)


def test_an_unknown_key_is_refused(small_shapes, small_weights):
    with pytest.raises(UserError, match="unknown keys layer5.0.conv1.weight"):
        resnet_from_torch(small_weights | {"layer5.0.conv1.weight": np.zeros(1)}, small_shapes)


@pytest.fixture(scope="module")
def tuple_template():
    shapes = shapes_of(depth=18, width=2, image_channels=6, num_classes=7)
    return random_tree(shapes, seed=1)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_imagenet_weights_are_read_for_tuples(tmp_path, small_weights, tuple_template, suffix):
    path = tmp_path / f"resnet{suffix}"
    if suffix == ".pth":
        torch = pytest.importorskip("torch", reason="the file is PyTorch's")
        torch.save({key: torch.tensor(value) for key, value in small_weights.items()}, path)
    else:
        save_file(small_weights, path)
    tree = read_imagenet_weights(path, tuple_template)
    loaded = torch_from_resnet(tree)
    for key, value in small_weights.items():
        if key not in ("conv1.weight", "fc.weight", "fc.bias"):
            np.testing.assert_array_equal(loaded[key], value, err_msg=key)
    np.testing.assert_array_equal(tree["fc"]["kernel"], tuple_template["fc"]["kernel"])
    first, second = np.split(loaded["conv1.weight"], 2, axis=1)
    np.testing.assert_array_equal(first, small_weights["conv1.weight"] / 2)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("num_channels", [1, 2, 3, 6])
def test_a_widened_convolution_answers_equal_images_as_the_original_does(num_channels):
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(4, 3, 7, 7))
    image = generator.normal(size=(3, 7, 7))
    if num_channels < 3:
        image[:] = image[0]  # gray
    num_images = 2 if num_channels in (2, 6) else 1
    seen = image if num_channels in (3, 6) else image[:1]
    widened = widened_first_convolution(kernel, num_channels)
    assert widened.shape == (4, num_channels, 7, 7)
    np.testing.assert_allclose(
        np.einsum("oihw,ihw->o", widened, np.concatenate([seen] * num_images)),
        np.einsum("oihw,ihw->o", kernel, image),
    )


def test_weights_of_another_depth_are_refused_by_both_depths(tuple_template):
    other = random_tree(shapes_of(depth=34, width=2, num_classes=10))
    with pytest.raises(UserError, match="ResNet of 34 layers, the configuration names one of 18"):
        imagenet_weights(torch_from_resnet(other), tuple_template, source="resnet34.pth")


def test_another_networks_weights_are_refused(tuple_template):
    with pytest.raises(UserError, match="vgg.pth holds no conv1.weight"):
        imagenet_weights({"features.0.weight": np.zeros(1)}, tuple_template, source="vgg.pth")
