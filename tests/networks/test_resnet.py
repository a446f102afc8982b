"""ResNets: torchvision's parameter counts, and parity with the torch twin in both modes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.networks import batch_norm
from tdgan_jax.networks.batch_norm import batch_statistics
from tdgan_jax.networks.layers import max_pool_3x3_stride_2
from tdgan_jax.networks.resnet import ResNet
from tdgan_jax.torch_weights.resnet import torch_from_resnet
from tests.families.ifgan.ifgan_networks import nchw, nhwc, random_images, randomised, tree_of


@pytest.mark.parametrize(
    ("depth", "count"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160)]
)
def test_parameter_counts_are_torchvisions(depth, count):
    network = nnx.eval_shape(lambda: ResNet(depth=depth, num_classes=1000, rngs=nnx.Rngs(0)))
    leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(network, nnx.Param)))
    assert sum(leaf.size for leaf in leaves) == count


def test_an_unknown_depth_is_refused():
    with pytest.raises(ValueError, match="depth of the ResNet is 20; known: 10, 18, 34, 50, 101"):
        ResNet(depth=20, num_classes=7, rngs=nnx.Rngs(0))


def test_max_pool_with_its_gradient():
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    x = np.round(random_images(2, 6, 8, 3), 1)  # with equal values in a window
    ours, pull_back = jax.vjp(partial(max_pool_3x3_stride_2, pads_start=True), x)
    tensor = torch.tensor(nchw(x)).requires_grad_()
    theirs = torch.nn.functional.max_pool2d(tensor, 3, stride=2, padding=1)
    np.testing.assert_array_equal(ours, nhwc(theirs))
    cotangent = random_images(*ours.shape, seed=1)
    theirs.backward(torch.tensor(nchw(cotangent)))
    np.testing.assert_allclose(pull_back(cotangent)[0], nhwc(tensor.grad), rtol=1e-6)


# At full width: the depths share their shapes, which are compiled one by one.
@pytest.mark.parametrize("depth", [101, 50, 18])
def test_both_modes_and_the_running_averages_after_a_step(depth, monkeypatch):
    # One program a shape, not one an operation.
    compiled = jax.jit(batch_norm.normalise_batch, static_argnums=(4, 5, 6))
    monkeypatch.setattr(batch_norm, "normalise_batch", compiled)
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.torch_weights import resnet_torch as twin

    network: ResNet = randomised(lambda rngs: ResNet(depth=depth, num_classes=7, rngs=rngs))
    theirs = twin.ResNet(7, depth)
    state_dict = torch_from_resnet(tree_of(network))
    assert list(state_dict) == list(theirs.state_dict())
    theirs.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    image = random_images(2, 64, 64, 3)
    tensor = torch.tensor(nchw(image))
    with torch.no_grad():
        assert_close(network(image), theirs.eval()(tensor))
        feature = network.features(image, batch_statistics(jnp.ones(2), axis_name=None))
        assert_close(feature, theirs.train().features(tensor))
        after = torch_from_resnet(tree_of(network))
        for key, value in theirs.state_dict().items():
            if "running" in key:
                assert_close(after[key], value, key)


def assert_close(ours, theirs, name: str = "") -> None:
    """Relative to the largest value: rounding adds up over a hundred layers.

    With statistics of eight values in the last stage, features of the twin's 101 layers in float32
    differ from those in float64 by 4e-4 of the largest one; so do ours.
    """
    atol = 1e-3 * theirs.abs().max()
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=atol, err_msg=name)
