"""ESR's networks: sizes, options, votes, devices, and parity with the torch twin in both modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from tdgan_jax.families.esr.branches import Block
from tdgan_jax.families.esr.diversity import diversity_terms
from tdgan_jax.families.esr.networks import (
    ensemble_output,
    make_esr,
    mean_affect,
    mean_probability,
    merge_networks,
    network_names,
    split_networks,
    vote_counts,
)
from tdgan_jax.families.esr.weights import torch_from_esr
from tdgan_jax.losses import Diversity, cross_entropy_loss
from tdgan_jax.networks.batch_norm import batch_statistics
from tdgan_jax.steps.parallel import make_mesh
from tests.families.esr.small_esr import PLAIN, SMALL, small_tree
from tests.families.ifgan.ifgan_networks import nchw, nhwc, random_images, randomised, tree_of

LAYER = {"rtol": 1e-4, "atol": 1e-5}
# Rounding adds up over eight layers with statistics of few values.
NETWORK = {"rtol": 1e-3, "atol": 1e-4}
# A gradient is compared relative to its largest value or this one: that of a bias before a batch
# norm is rounding alone, up to 2e-5 here.
SMALL_GRADIENT = 0.5


def small_images(count=3, seed=0):
    return (random_images(count, 26, 26, 3, seed=seed) + 1) / 2


def statistics_of(x):
    return batch_statistics(jnp.ones(x.shape[0]), axis_name=None)


@pytest.fixture(scope="module")
def full_size():
    return nnx.eval_shape(lambda: make_esr(num_expressions=8, num_branches=1, rngs=nnx.Rngs(0)))


def test_the_full_size_has_the_maps_of_the_specs_table(full_size):
    x = jax.ShapeDtypeStruct((1, 96, 96, 3), jnp.float32)
    sizes = []
    for block in (*full_size.base.blocks, *full_size.branches[0].blocks):
        x = nnx.eval_shape(lambda block, x: block(x).output, block, x)
        sizes.append(x.shape[1:])
    assert sizes == [
        *((92, 92, 64), (45, 45, 128), (43, 43, 128), (20, 20, 128)),
        *((18, 18, 128), (8, 8, 256), (6, 6, 256), (6, 6, 512)),
    ]


def test_the_full_size_answers_with_the_specs_shapes(full_size):
    shared = jax.ShapeDtypeStruct((2, 20, 20, 128), jnp.float32)
    output = nnx.eval_shape(lambda branch, x: branch(x), full_size.branches[0], shared)
    assert output.logits.shape == (2, 8)
    assert output.feature.shape == output.channel_attention.shape == (2, 512)
    assert output.spatial_attention.shape == (2, 6, 6)
    assert output.affect is None


@pytest.mark.parametrize("num_branches", [1, 2, 15])
def test_all_branches_are_there_and_differ(num_branches):
    fields = {"num_branches": num_branches, "base_widths": (2,), "base_pooled_layers": (1,)}
    definitions, trees = split_networks(make_esr(**SMALL | fields, rngs=nnx.Rngs(0)))
    assert tuple(trees) == network_names(num_branches)
    assert len(set(definitions.branches)) == 1  # compiled alike
    heads = [trees[f"branch_{i}"]["fc"]["kernel"] for i in range(1, num_branches + 1)]
    assert len({head.tobytes() for head in map(np.asarray, heads)}) == num_branches
    for network in merge_networks(definitions, trees).branches:
        assert len(network.blocks) == 4


def test_initialisation_is_pytorchs():
    block = Block(8, 32, kernel_size=5, rngs=nnx.Rngs(0))
    for parameter in (block.conv.kernel, block.conv.bias):
        largest = np.abs(parameter[...]).max()
        assert 0.8 * 200**-0.5 < largest <= 200**-0.5
    np.testing.assert_array_equal(block.norm.scale[...], 1)
    np.testing.assert_array_equal(block.norm.bias[...], 0)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 5},
        {"is_padded": True, "attention_reduction": 4},
        {"is_pooled": True, "attention_reduction": 4},
    ],
    ids=["plain", "padded", "pooled"],
)
def test_a_block_in_both_modes(options):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.esr import twin
    from tdgan_jax.families.esr.weights import blocks_table
    from tdgan_jax.torch_weights.mapping import torch_from_parameters
    from tdgan_jax.torch_weights.resnet import with_counters

    block: Block = randomised(lambda rngs: Block(3, 8, rngs=rngs, **options))
    theirs = twin.Blocks(
        3,
        (8,),
        (1,) if options.get("is_pooled") else (),
        (1,) if options.get("is_padded") else (),
        options.get("attention_reduction"),
        options.get("kernel_size", 3),
    )
    tree = {"blocks": {0: tree_of(block)}}
    state_dict = with_counters(torch_from_parameters(blocks_table(tree), tree))
    assert list(state_dict) == list(theirs.state_dict())
    theirs.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    x = random_images(2, 9, 11, 3)
    tensor = torch.tensor(nchw(x))
    np.testing.assert_allclose(block(x).output, nhwc(theirs.eval().run(tensor)[0]), **LAYER)
    output = block(x, statistics_of(x)).output
    np.testing.assert_allclose(output, nhwc(theirs.train().run(tensor)[0]), **LAYER)


def filled_twin(trees, **fields):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.esr.twin import Ensemble

    usual = {
        "image_channels": 3,
        "base_pooled_layers": (2, 4),
        "base_padded_layers": (),
        "branch_pooled_layers": (2,),
        "has_attention": True,
        "has_affect": False,
    }
    sizes = usual | SMALL | fields
    names = [f"class {i}" for i in range(sizes["num_expressions"])]
    plain = {"channel_order": "rgb", "mean": [0.0], "deviation": [1.0]}
    twin = Ensemble({"architecture": sizes, "expression_names": names, "preprocessing": plain})
    parts = (twin.base, *twin.branches)
    for state_dict, part in zip(torch_from_esr(trees).values(), parts, strict=True):
        assert list(state_dict) == list(part.state_dict())
        part.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    return twin


def assert_same_outputs(ours, theirs):
    for name, value in ours._asdict().items():
        other = getattr(theirs, name)
        assert (value is None) == (other is None), name
        if value is not None:
            np.testing.assert_allclose(value, other.detach(), **NETWORK, err_msg=name)


@pytest.mark.parametrize("fields", [{}, PLAIN], ids=["diversified", "plain"])
def test_the_ensemble_in_both_modes_with_gradients_and_averages(fields):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    fields = fields | {"num_branches": 2}
    definitions, trees = small_tree(**fields)
    twin = filled_twin(trees, **fields)
    images = small_images()
    tensor = torch.tensor(nchw(images))
    evaluate = jax.jit(lambda trees: ensemble_output(merge_networks(definitions, trees), images))
    assert_same_outputs(evaluate(trees), twin.eval()(tensor))

    statistics, labels = statistics_of(images), np.array([0, 3, 1])

    @jax.jit
    def train(trees):
        def loss(trees):
            networks = merge_networks(definitions, trees)
            output = ensemble_output(
                networks, images, base_statistics=statistics, branch_statistics=statistics
            )
            losses = [cross_entropy_loss(x, labels, jnp.ones(3)) for x in output.logits]
            affect = 0.0 if output.affect is None else jnp.square(output.affect).sum()
            return sum(losses) + affect, (output, split_networks(networks)[1])

        return jax.grad(loss, has_aux=True)(trees)

    gradient, (output, after) = train(trees)
    theirs = twin.train()(tensor)
    assert_same_outputs(output, theirs)
    target = torch.tensor(labels)
    total = sum(torch.nn.functional.cross_entropy(logits, target) for logits in theirs.logits)
    (total if theirs.affect is None else total + theirs.affect.square().sum()).backward()
    moved, gradients = torch_from_esr(after), torch_from_esr(gradient)
    parts = dict(zip(trees, (twin.base, *twin.branches), strict=True))
    for name, part in parts.items():
        for key, value in part.state_dict().items():
            if "running" in key:
                np.testing.assert_allclose(moved[name][key], value, **NETWORK, err_msg=key)
        for key, parameter in part.named_parameters():
            largest = max(float(parameter.grad.abs().max()), SMALL_GRADIENT)
            np.testing.assert_allclose(
                gradients[name][key], parameter.grad, rtol=1e-3, atol=1e-4 * largest, err_msg=key
            )


def run(definitions, trees, images, **options):
    """Results of the branches, and the trees afterwards; compiled as a whole."""

    @jax.jit
    def compiled(trees):
        networks = merge_networks(definitions, trees)
        output = ensemble_output(networks, images, **options)
        return output, split_networks(networks)[1]

    return compiled(trees)


def is_same(first, second) -> bool:
    return jax.tree.all(jax.tree.map(np.array_equal, first, second))


def test_the_first_branches_alone_are_run():
    definitions, trees = small_tree()
    images = small_images()
    statistics = statistics_of(images)
    modes = {"base_statistics": statistics, "branch_statistics": statistics}
    whole, _ = run(definitions, trees, images, **modes)
    part, after = run(definitions, trees, images, **modes, num_branches=2)
    assert part.logits.shape == (2, 3, 5)
    np.testing.assert_allclose(part.logits, whole.logits[:2], **LAYER)
    assert is_same(after["branch_3"], trees["branch_3"])
    assert not is_same(after["branch_2"], trees["branch_2"])


def test_base_and_branches_may_be_in_different_modes():
    """The released program evaluates with a base in evaluation and branches in training mode."""
    definitions, trees = small_tree(num_branches=1)
    images = small_images()
    mixed, after = run(definitions, trees, images, branch_statistics=statistics_of(images))

    @jax.jit
    def one_after_the_other(trees):
        networks = merge_networks(definitions, trees)
        return networks.branches[0](networks.base(images), statistics_of(images))

    expected = one_after_the_other(trees)
    np.testing.assert_allclose(mixed.logits[0], expected.logits, **NETWORK)
    assert is_same(after["base"], trees["base"])
    assert not is_same(after["branch_1"], trees["branch_1"])


def test_an_examples_answer_in_evaluation_depends_on_it_alone():
    definitions, trees = small_tree(num_branches=1)
    images = small_images(4)
    whole, _ = run(definitions, trees, images)
    alone, _ = run(definitions, trees, images[1:2])
    np.testing.assert_allclose(whole.logits[:, 1:2], alone.logits, **LAYER)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ((2, 2, 0), 2),
        ((4, 0, 2), 0),  # all equal: the lowest
        ((3, 1, 1, 3), 1),  # two each
        ((1,), 1),
    ],
)
def test_votes(votes, expected):
    logits = 3 * jax.nn.one_hot(jnp.array(votes), 5)[:, None]
    assert vote_counts(logits).argmax(axis=-1).tolist() == [expected]
    counts = np.bincount(votes, minlength=5)
    np.testing.assert_array_equal(vote_counts(logits), counts[None])


def test_equal_logits_of_a_branch_vote_for_the_lowest_class():
    logits = jnp.array([[[0.0, 7.0, 7.0]], [[1.0, 1.0, 0.0]], [[0.0, 2.0, 2.0]]])
    assert vote_counts(logits).argmax(axis=-1).tolist() == [1]


def test_mean_probability_may_name_another_class_than_the_vote():
    probabilities = jnp.array([[[0.51, 0.49]], [[0.51, 0.49]], [[0.05, 0.95]]])
    logits = jnp.log(probabilities)
    np.testing.assert_allclose(mean_probability(logits), probabilities.mean(axis=0), rtol=1e-5)
    assert vote_counts(logits).argmax(axis=-1).tolist() == [0]
    assert mean_probability(logits).argmax(axis=-1).tolist() == [1]


def test_mean_affect():
    affect = jnp.array([[[0.5, -1.0]], [[0.1, 0.0]]])
    np.testing.assert_allclose(mean_affect(affect), [[0.3, -0.5]], rtol=1e-6)


@pytest.mark.parametrize("num_devices", [2, 4])
def test_several_devices_compute_the_gradient_of_the_whole_batch(num_devices):
    fields = {"base_widths": (4, 8), "branch_widths": (8, 16), "branch_padded_layers": (1, 2)}
    definitions, trees = small_tree(num_branches=2, base_pooled_layers=(2,), **fields)
    images, labels = small_images(8), jnp.arange(8) % 5
    weight = jnp.array([8, 8, 8, 0, 8, 8, 8, 8]) / 7

    def gradient_of(trees, images, labels, weight, axis_name):
        statistics = batch_statistics(weight, axis_name=axis_name)

        def loss(trees):
            networks = merge_networks(definitions, trees)
            output = ensemble_output(
                networks, images, base_statistics=statistics, branch_statistics=statistics
            )
            losses = [cross_entropy_loss(x, labels, weight) for x in output.logits]
            options = Diversity(diagonal="unit", reduction="mean")
            terms = diversity_terms(output, weight, options, axis_name=axis_name)
            averages = jax.tree.map(jax.lax.stop_gradient, split_networks(networks)[1])
            return sum(losses) + sum(terms.values()), averages

        return jax.grad(loss, has_aux=True)(trees)

    def on_one(trees, *batch):
        gradient, averages = gradient_of(trees, *batch, "batch")
        return jax.lax.pmean(gradient, "batch"), averages

    divided, whole = PartitionSpec("batch"), PartitionSpec()
    mapped = jax.shard_map(
        on_one,
        mesh=make_mesh(jax.devices()[:num_devices]),
        in_specs=(whole, divided, divided, divided),
        out_specs=whole,
        check_vma=False,
    )
    on_all = jax.jit(mapped)(trees, images, labels, weight)
    expected = jax.jit(lambda *given: gradient_of(*given, None))(trees, images, labels, weight)
    for ours, theirs in zip(*map(jax.tree.leaves, (on_all, expected)), strict=True):
        largest = max(np.abs(theirs).max(), SMALL_GRADIENT)
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * largest)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_branches": 0}, "num_branches must be whole numbers of at least 1, got 0"),
        ({"num_branches": 100}, "num_branches is 100; 99 are the most"),
        ({"num_expressions": 0}, "num_expressions must be"),
        ({"image_channels": -1}, "image_channels must be"),
        ({"base_widths": ()}, r"base_widths must be whole numbers of at least 1, got \(\)"),
        ({"base_widths": (64, 0)}, r"base_widths must be .*, got \(64, 0\)"),
        ({"branch_widths": (8, 1.5)}, "branch_widths must be"),
        ({"attention_reduction": 0}, "attention_reduction must be"),
        ({"base_pooled_layers": (5,)}, r"base_pooled_layers must be among the layers 1 to 4, got"),
        ({"branch_padded_layers": (0,)}, "branch_padded_layers must be among"),
        ({"image_size_px": 4}, "image_size_px is 4, of which base layer 1 leaves nothing"),
        ({"image_size_px": 48}, "image_size_px is 48, of which branch layer 3 leaves nothing"),
    ],
)
def test_impossible_sizes_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: make_esr(**{"num_expressions": 7} | fields, rngs=nnx.Rngs(0)))


def test_small_images_need_padding():
    fields = {"num_branches": 2, "image_size_px": 48, "branch_padded_layers": (1, 2, 3, 4)}
    networks = nnx.eval_shape(lambda: make_esr(num_expressions=7, rngs=nnx.Rngs(0), **fields))
    image = jax.ShapeDtypeStruct((1, 48, 48, 3), jnp.float32)
    output = nnx.eval_shape(ensemble_output, networks, image)
    assert output.spatial_attention.shape == (2, 1, 4, 4)
