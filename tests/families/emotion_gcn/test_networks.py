"""The six models: sizes, options, parity with the torch twins, and what no training moves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from tdgan_jax.families.emotion_gcn.networks import (
    make_emotion_gcn,
    split_networks,
)
from tdgan_jax.families.emotion_gcn.weights import network_table
from tdgan_jax.networks.batch_norm import batch_statistics
from tdgan_jax.torch_weights.mapping import torch_from_parameters
from tests.families.emotion_gcn.emotion_networks import (
    MODELS,
    SMALL,
    adjacency,
    filled_model,
    filled_twin,
    nchw,
    shapes_of,
    small_images,
    small_word_vectors,
    state_dict_shapes,
)

# Rounding of convolutions and statistics adds up over a network.
NETWORK = {"rtol": 1e-3, "atol": 1e-4}
# Entries of the state dict and parameters, the constant adjacency included (spec 2.5).
RELEASED_SIZES = {
    ("emotion_gcn", "densenet"): (728, 7_631_825),
    ("emotion_gcn", "bregnext"): (396, 3_291_784),
    ("single_task", "densenet"): (727, 6_961_031),
    ("multi_task", "densenet"): (729, 6_963_081),
    ("single_task", "bregnext"): (393, 3_072_567),
    ("multi_task", "bregnext"): (395, 3_072_825),
}


@pytest.mark.parametrize(("heads", "backbone"), MODELS)
def test_the_full_size_has_the_entries_and_parameters_of_the_spec(heads, backbone):
    _, trees = shapes_of(
        heads=heads, backbone=backbone, image_size_px=227 if backbone == "densenet" else 112
    )
    shapes = state_dict_shapes(trees["network"])
    of_norms = ("running_mean", "running_var", "num_batches_tracked")
    parameters = [shape for key, shape in shapes.items() if not key.endswith(of_norms)]
    count = sum(int(np.prod(shape)) for shape in parameters)
    assert (len(shapes), count) == RELEASED_SIZES[heads, backbone]
    assert ("word_vectors" in trees) == (heads == "emotion_gcn")
    if heads == "emotion_gcn":
        assert next(iter(shapes)) == "A"
        assert trees["word_vectors"]["vectors"].shape == (9, 300)


def test_the_parts_of_the_full_size():
    for backbone, count in (("densenet", 6_953_856), ("bregnext", 3_072_567)):
        shapes = state_dict_shapes(shapes_of(backbone=backbone, image_size_px=112)[1]["network"])
        own = {k: s for k, s in shapes.items() if k.startswith(("features.", "model."))}
        assert len(own) == {"densenet": 725, "bregnext": 393}[backbone]
        of_norms = ("running_mean", "running_var", "num_batches_tracked")
        sizes = [int(np.prod(s)) for k, s in own.items() if not k.endswith(of_norms)]
        assert sum(sizes) == count
        assert shapes["gc1.weight"] == (300, 512)
        assert shapes["gc2.weight"] == (512, 1024 if backbone == "densenet" else 128)


def outputs_of(prediction):
    return [np.asarray(part) for part in prediction if part is not None]


def twin_outputs(result):
    return [part.detach().numpy() for part in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize(("heads", "backbone"), MODELS)
def test_parity_with_the_twin_in_both_modes_with_gradients(heads, backbone):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    model = filled_model(heads=heads, backbone=backbone, **SMALL)
    theirs = filled_twin(model.state_dict, heads, backbone, **SMALL)
    image, words = small_images(), small_word_vectors()
    given = [torch.tensor(nchw(image))]
    given += [torch.tensor(words)] if heads == "emotion_gcn" else []
    words = jnp.asarray(words) if heads == "emotion_gcn" else None
    evaluated = jax.jit(lambda x: model.network()(x, words))(image)
    for ours, other in zip(outputs_of(evaluated), twin_outputs(theirs(*given)), strict=True):
        np.testing.assert_allclose(ours, other, **NETWORK)

    definition, *parts = nnx.split(model.network(), nnx.Param, nnx.BatchStat, ...)
    weights, averages, constants = map(nnx.to_pure_dict, parts)
    statistics = batch_statistics(jnp.ones(3), axis_name=None)

    @jax.jit
    def run(weights):
        def train(weights):
            network = nnx.merge(definition, weights, averages, constants)
            prediction = network(jnp.asarray(image), words, statistics)
            return prediction, nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))

        prediction, pull_back, after = jax.vjp(train, weights, has_aux=True)
        return prediction, after, pull_back(jax.tree.map(jnp.cos, prediction))[0]

    prediction, after, gradient = run(weights)
    result = theirs.train()(*given)
    result = result if isinstance(result, tuple) else (result,)
    for ours, other in zip(outputs_of(prediction), twin_outputs(result), strict=True):
        np.testing.assert_allclose(ours, other, **NETWORK)
    torch.autograd.backward(result, [torch.cos(part.detach()) for part in result])
    table = network_table(model.parameters)
    ours = torch_from_parameters([e for e in table if _has(gradient, e.path)], gradient)
    expected = {k: p.grad for k, p in theirs.named_parameters() if p.grad is not None}
    assert ours.keys() == expected.keys()
    for key, value in ours.items():
        other = expected[key].numpy()
        atol = 1e-3 * max(np.abs(other).max(), 1e-2)
        np.testing.assert_allclose(value, other, rtol=1e-3, atol=atol, err_msg=key)
    running = torch_from_parameters([e for e in table if _has(after, e.path)], after)
    for key, value in running.items():
        np.testing.assert_allclose(value, theirs.state_dict()[key], **NETWORK, err_msg=key)


def _has(tree, path) -> bool:
    for name in path:
        if name not in tree:
            return False
        tree = tree[name]
    return True


def trained_mask(network):
    """True at every value that is a parameter, as `steps.state.separate` tells them apart."""
    state = nnx.state(network)
    is_variable = lambda leaf: isinstance(leaf, nnx.Variable)  # noqa: E731
    is_trained = lambda leaf: isinstance(leaf, nnx.Param)  # noqa: E731
    return nnx.to_pure_dict(jax.tree.map(is_trained, state, is_leaf=is_variable))


@pytest.mark.parametrize("backbone", ["densenet", "bregnext"])
def test_no_update_moves_what_the_released_program_computes_no_gradient_for(backbone):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    model = filled_model(backbone=backbone, **SMALL)
    theirs = filled_twin(model.state_dict, "emotion_gcn", backbone, **SMALL).train()
    network, before = model.network(), jax.tree.map(jnp.asarray, model.parameters)
    mask = trained_mask(network)
    optimizer = optax.masked(
        optax.chain(optax.add_decayed_weights(0.5), optax.trace(0.9), optax.scale(-0.1)), mask
    )
    image, words = jnp.asarray(small_images()), small_word_vectors()
    statistics = batch_statistics(jnp.ones(3), axis_name=None)

    def loss(tree):
        prediction = nnx.merge(model.definitions.network, tree)(
            image, jnp.asarray(words), statistics
        )
        return jnp.square(prediction.logits).mean() + jnp.square(prediction.affect).mean()

    @jax.jit
    def step(tree, state):
        change, state = optimizer.update(jax.grad(loss)(tree), state, tree)
        return optax.apply_updates(tree, change), state

    tree, state = before, optimizer.init(before)
    torch_optimizer = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9, weight_decay=0.5)
    for _ in range(2):
        tree, state = step(tree, state)
        torch_optimizer.zero_grad()
        logits, affect = theirs(torch.tensor(nchw(image)), torch.tensor(words))
        (logits.square().mean() + affect.square().mean()).backward()
        torch_optimizer.step()

    table = network_table(before)
    old, new = (torch_from_parameters(table, t) for t in (before, tree))
    constant = {"A", "model._fc0.weight", "model._fc0.bias"} & new.keys()
    assert len(constant) == (3 if backbone == "bregnext" else 1)
    for key in new:
        if key in constant or "running" in key:
            np.testing.assert_array_equal(new[key], old[key], err_msg=key)
        else:
            assert not np.array_equal(new[key], old[key]), key
            other = theirs.state_dict()[key].numpy()
            atol = 2e-3 * np.abs(other - old[key]).max()
            np.testing.assert_allclose(new[key], other, rtol=1e-3, atol=atol, err_msg=key)


def test_only_parameters_are_in_the_mask():
    networks = nnx.eval_shape(
        lambda: make_emotion_gcn(
            num_expressions=7, rngs=nnx.Rngs(0), **(SMALL | {"backbone": "bregnext"})
        )
    )
    mask = trained_mask(networks.network)
    assert mask["graph"] == {
        "adjacency": False,
        "gc1": {"kernel": True},
        "gc2": {"kernel": True},
    }
    assert mask["unused_head"] == {"kernel": False, "bias": False}
    assert mask["backbone"]["norm"] == {
        "scale": True,
        "bias": True,
        "mean": False,
        "variance": False,
    }
    assert mask["backbone"]["groups"][0][0]["shortcut"] == {"a": True, "c": True}
    assert not any(jax.tree.leaves(trained_mask(networks.word_vectors)))


def test_features_under_the_graph_are_maxima_of_both_signs():
    model = filled_model(**SMALL)
    network = model.network()
    image = jnp.asarray(small_images())
    feature_map = network.backbone(image)
    np.testing.assert_array_equal(network.features(image), feature_map.max(axis=(1, 2)))
    baseline = filled_model(heads="single_task", **SMALL).network()
    feature_map = baseline.backbone(image)
    expected = np.maximum(feature_map, 0).mean(axis=(1, 2))
    np.testing.assert_allclose(baseline.features(image), expected, rtol=1e-5)


def test_the_graph_can_be_folded_into_one_matrix():
    network = filled_model(backbone="bregnext", **SMALL).network()
    image, words = jnp.asarray(small_images()), jnp.asarray(small_word_vectors())
    vectors = network.label_vectors(words)
    assert vectors.shape == (9, 8)
    outputs = network.features(image) @ vectors.T
    prediction = network(image, words)
    np.testing.assert_allclose(outputs[:, :7], prediction.logits, rtol=1e-6)
    np.testing.assert_allclose(outputs[:, 7:], prediction.affect, rtol=1e-6)


def test_bfloat16_leaves_the_graph_and_its_outputs_in_float32():
    from tdgan_jax.networks.execution import set_execution

    for backbone in ("densenet", "bregnext"):
        network = filled_model(backbone=backbone, **SMALL).network()
        image, words = jnp.asarray(small_images()), jnp.asarray(small_word_vectors())
        exact = network(image, words)
        set_execution([network], precision="bfloat16")
        rounded = network(image, words)
        assert rounded.logits.dtype == jnp.float32
        scale = float(jnp.abs(exact.logits).max())
        np.testing.assert_allclose(rounded.logits, exact.logits, atol=0.1 * scale)
        assert not np.array_equal(rounded.logits, exact.logits)


def test_given_constants_are_kept_and_absent_ones_are_not_overlooked():
    small = SMALL | {"backbone": "bregnext"}
    words = small_word_vectors()
    given = make_emotion_gcn(
        num_expressions=7, rngs=nnx.Rngs(0), adjacency=adjacency(), word_vectors=words, **small
    )
    np.testing.assert_allclose(given.network.graph.adjacency[...], adjacency(), rtol=1e-6)
    np.testing.assert_array_equal(given.word_vectors.vectors[...], words)
    absent = make_emotion_gcn(num_expressions=7, rngs=nnx.Rngs(0), **small)
    assert np.isnan(absent.network.label_vectors(absent.word_vectors.vectors[...])).all()


def test_definitions_are_hashable_and_merge_again():
    networks = nnx.eval_shape(
        lambda: make_emotion_gcn(num_expressions=7, rngs=nnx.Rngs(0), **SMALL)
    )
    definitions, trees = split_networks(networks)
    assert hash(definitions) == hash(split_networks(networks)[0])
    assert trees.keys() == {"network", "word_vectors"}
    baseline, trees = shapes_of(heads="single_task", **SMALL)
    assert baseline.word_vectors is None and trees.keys() == {"network"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": "both"}, "heads is 'both'; known: single_task, multi_task, emotion_gcn"),
        ({"backbone": "resnet"}, "backbone is 'resnet'; known: densenet, bregnext"),
        ({"adjacency_form": "A"}, "adjacency_form is 'A'; known: transposed, plain"),
        ({"num_expressions": 0}, "num_expressions must be at least 1, got 0"),
        ({"image_channels": 0}, "image_channels must be at least 1, got 0"),
        ({"word_vector_size": 0}, "word_vector_size must be at least 1, got 0"),
        ({"graph_channels": -5}, "graph_channels must be at least 1, got -5"),
        ({"growth_rate": 0}, "growth_rate must be at least 1, got 0"),
        ({"block_layers": ()}, "block_layers must be numbers of at least 1, got"),
        ({"image_size_px": 28, "block_layers": (1,) * 4}, "image_size_px must be at least 29 "),
        (
            {"image_size_px": 22, "backbone": "bregnext", "stage_layers": (1, 1, 1)},
            "image_size_px must be a multiple of 4 for a BReG-NeXt of 3 stages, got 22",
        ),
        ({"backbone": "bregnext", "stage_layers": ()}, "stage_layers must be numbers of at least"),
        ({"backbone": "bregnext", "stage_widths": (4, 7)}, "stage_widths must begin"),
        ({"adjacency": np.eye(8)}, r"adjacency must have the shape \(9, 9\), got \(8, 8\)"),
        ({"word_vectors": np.ones((9, 5))}, r"word_vectors must have the shape \(9, 6\), got"),
    ],
)
def test_impossible_options_are_refused_by_name(options, message):
    fields = {"num_expressions": 7} | SMALL | options
    with pytest.raises(ValueError, match=f"^{message}"):
        nnx.eval_shape(lambda: make_emotion_gcn(rngs=nnx.Rngs(0), **fields))
