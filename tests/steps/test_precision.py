"""Training steps in bfloat16 and with rematerialised encoders."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.family import Names
from tdgan_jax.families.program import make_training
from tdgan_jax.families.tdgan.objective import Batch
from tdgan_jax.networks.batch_norm import BatchNorm, batch_statistics
from tdgan_jax.networks.execution import set_execution
from tdgan_jax.networks.inception import Encoder
from tdgan_jax.networks.layers import InstanceNorm
from tdgan_jax.training.checks import check_values
from tests.families.classifier import test_step as test_classifier
from tests.families.ifgan import test_step as test_ifgan

EXPRESSIONS = tuple("abcdefg")


def tdgan_batch(size_px: int) -> Batch:
    image = np.random.default_rng(0).integers(0, 256, (4, size_px, size_px, 1), dtype=np.uint8)
    labels = np.arange(4, dtype=np.int32)
    return Batch(image, labels % 3, image[::-1], labels, np.ones(4, np.float32), labels)


def traced_step(config_name: str, *overrides: str):
    """The family of a tiny configuration, and the jaxpr, arguments and results of its step."""
    config = load_config(f"configs/{config_name}.py:tiny", overrides)
    family = make_training(config, Names(("anna", "ben", "carla"), EXPRESSIONS))
    key = jax.random.key(0)
    state = jax.eval_shape(family.init_state, key)
    batch = tdgan_batch(config.model.image_size_px)
    if config.family == "ifgan":
        batch = test_ifgan.tiny_batch()
    if config.family == "classifier":
        batch = test_classifier.tiny_batch()
    updates = family.updates_due(0, 0)
    with jax.set_mesh(jax.make_mesh((1,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))):
        mapped = jax.shard_map(
            partial(family.train_step, updates),
            in_specs=(jax.P(), jax.P("batch"), jax.P()),
            out_specs=(jax.P(), jax.P()),
            check_vma=False,
        )
        jaxpr, results = jax.make_jaxpr(mapped, return_shape=True)(state, batch, key)
    return jaxpr.jaxpr, state, results


def operations(jaxpr) -> Iterator:
    """All operations of a program, those inside its functions too."""
    for operation in jaxpr.eqns:
        yield operation
        for inner in jax.tree.leaves(
            list(operation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from operations(inner)


def operand_types(jaxpr, name: str) -> set[str]:
    found = [op for op in operations(jaxpr) if op.primitive.name == name]
    assert found
    return {str(operand.aval.dtype) for op in found for operand in op.invars}


CRITICS = ("loss.realism_weight=1", "loss.identity_confusion_weight=1")


@pytest.mark.parametrize(
    ("config_name", "overrides"),
    [
        ("tdgan_synthetic", ()),
        ("tdgan_synthetic", (*CRITICS, "model.decoder_sees_face=true")),
        ("classifier_synthetic", ()),
        ("ifgan_synthetic", ()),
    ],
)
def test_convolutions_are_bfloat16_and_what_is_kept_is_float32(config_name, overrides):
    jaxpr, state, (after, metrics) = traced_step(config_name, "precision=bfloat16", *overrides)
    assert operand_types(jaxpr, "conv_general_dilated") == {"bfloat16"}
    assert "bfloat16" in operand_types(jaxpr, "dot_general")
    assert jax.tree.map(lambda leaf: leaf.dtype, after) == jax.tree.map(lambda x: x.dtype, state)
    floats = {str(leaf.dtype) for leaf in jax.tree.leaves((after, metrics))} - {"int32"}
    assert floats == {"float32"}


def test_nothing_is_bfloat16_by_default():
    jaxpr, _, _ = traced_step("tdgan_synthetic")
    assert operand_types(jaxpr, "conv_general_dilated") == {"float32"}
    assert "bf16" not in str(jaxpr) and "remat" not in str(jaxpr)


def test_an_unknown_precision_is_refused():
    config = load_config("configs/tdgan_synthetic.py:tiny", ["precision=float16"])
    with pytest.raises(UsageError, match="precision is 'float16'; known: float32, bfloat16"):
        check_values(config)
    with pytest.raises(UsageError, match="precision is 'float16'; known: float32, bfloat16"):
        make_training(config, Names(("anna",), EXPRESSIONS))


def instance_norm(x: jax.Array) -> jax.Array:
    return InstanceNorm(2, epsilon=1e-5, affine=True, rngs=nnx.Rngs(0))(x)


def batch_norm(x: jax.Array) -> jax.Array:
    return BatchNorm(2, rngs=nnx.Rngs(0))(x, batch_statistics(jnp.ones(len(x)), axis_name=None))


@pytest.mark.parametrize("norm", [instance_norm, batch_norm])
def test_statistics_of_bfloat16_values_are_float32(norm):
    values = np.random.default_rng(0).normal(300.0, 4.0, (2, 16, 16, 2))
    rounded = jnp.asarray(values, jnp.bfloat16)  # in steps of 2
    slopes = jnp.asarray(np.random.default_rng(1).normal(2.0, 1.0, values.shape), jnp.bfloat16)
    output, pull_back = jax.vjp(norm, rounded)
    exact_output, exact_pull_back = jax.vjp(norm, rounded.astype(jnp.float32))
    assert output.dtype == jnp.bfloat16
    np.testing.assert_allclose(output.astype(np.float32), exact_output, rtol=2e-2, atol=1e-2)
    (gradient,), (exact_gradient,) = pull_back(slopes), exact_pull_back(slopes.astype(np.float32))
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(gradient.astype(np.float32), exact_gradient, rtol=2e-2, atol=5e-3)


def test_the_rematerialised_encoder_has_the_same_gradient():
    encoder = nnx.eval_shape(
        lambda: Encoder(widths=(2, 4, 8, 8), branch_channels=2, num_blocks=1, rngs=nnx.Rngs(0))
    )
    _, shapes = nnx.split(encoder)
    random = np.random.default_rng(0)
    weights = jax.tree.map(lambda x: random.normal(size=x.shape).astype(np.float32), shapes)
    image = random.uniform(size=(2, 16, 16, 1)).astype(np.float32)
    gradients = []
    for rematerialise in (False, True):
        set_execution([encoder], precision="float32", rematerialise=rematerialise)
        definition, _ = nnx.split(encoder)

        def loss(weights, definition=definition):
            return jnp.sum(jnp.sin(nnx.merge(definition, weights)(image)))

        # A layer's inside is what a checkpoint computes again.
        assert str(jax.make_jaxpr(loss)(weights)).count("remat2") == 5 * rematerialise
        gradients.append(jax.jit(jax.grad(loss))(weights))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), *gradients)


def test_the_configuration_rematerialises_the_encoders_of_the_step():
    jaxpr, _, _ = traced_step("tdgan_synthetic", "parallel.rematerialise=true")
    assert [op for op in operations(jaxpr) if op.primitive.name == "remat2"]
