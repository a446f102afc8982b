"""What a training of TDGAN may add: critics, reconstruction, coarse images, another decoder."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import tdgan_jax
from tdgan_jax.errors import UsageError
from tdgan_jax.exchange.exporting import export_model
from tdgan_jax.exchange.importing import import_weights
from tdgan_jax.families.program import make_program
from tdgan_jax.families.tdgan.critics import (
    IdentityAdversary,
    RealismCritic,
    identity_adversary_loss,
    identity_confusion_loss,
    other_labels,
    realism_critic_loss,
)
from tdgan_jax.families.tdgan.networks import Decoder
from tdgan_jax.families.tdgan.objective import sometimes_coarse
from tdgan_jax.families.tdgan.step import StateWithCritics, Updates
from tdgan_jax.networks.inception import make_encoder
from tdgan_jax.networks.layers import conv_transpose_4x4_stride_2, normalise_pixels, resize_conv_3x3
from tdgan_jax.steps.parallel import make_mesh, replicate, shard_batch
from tdgan_jax.training.opening import open_run
from tests.families.short_runs import (
    assert_devices_agree,
    assert_same,
    finished_run,
    last_state,
    stopped_run,
    tiny_config,
)

OPTIONS = (
    "model.upsampling=resize",
    "model.decoder_norm=pixel",
    "model.decoder_sees_face=true",
    "model.noise_channels=0",
    "loss.realism_weight=1",
    "loss.realism_gradient_penalty=0.5",
    "loss.identity_confusion_weight=0.5",
    "loss.coarse_share=0.5",
    "training.classifier_epochs=1",
)


ALL = Updates(True, True, True)
ALONE = Updates(False, False, False, classifier_alone=True)


def changed_networks(before, after) -> set[str]:
    """The networks whose parameters differ."""
    trees = [state.parameters | state.critics for state in (before, after)]
    return {
        name
        for name in trees[0]
        if any(
            not np.array_equal(*pair)
            for pair in zip(*(jax.tree.leaves(tree[name]) for tree in trees), strict=True)
        )
    }


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


@pytest.fixture(scope="module")
def critic() -> RealismCritic:
    rngs = nnx.Rngs(0)
    encoder = make_encoder(image_channels=1, width_multiplier=1 / 16, num_blocks=1, rngs=rngs)
    return RealismCritic(encoder, feature_shape=(2, 2, 8), num_expressions=3, rngs=rngs)


def test_repeating_and_convolving_is_a_transposed_convolution():
    x, kernel = random(2, 5, 4, 3), random(3, 3, 3, 6, seed=1) - 0.5
    repeated = x.repeat(2, axis=1).repeat(2, axis=2)
    expected = jax.lax.conv_general_dilated(
        repeated, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(resize_conv_3x3(x, kernel), expected, rtol=1e-5, atol=1e-5)


def test_equal_pixels_stay_equal_when_they_are_repeated_and_not_when_they_are_transposed():
    flat = jnp.ones((1, 4, 4, 2))
    smooth = resize_conv_3x3(flat, random(3, 3, 2, 1))[:, 1:-1, 1:-1]
    grid = conv_transpose_4x4_stride_2(flat, random(4, 4, 2, 1))[:, 1:-1, 1:-1]
    assert float(smooth.std()) < 1e-5 < float(grid.std())


def test_the_norm_of_pixels_keeps_the_means_of_channels():
    x = random(2, 3, 3, 4) + jnp.arange(4.0).reshape(1, 1, 1, 4)
    normalised = normalise_pixels(x)
    np.testing.assert_allclose(jnp.square(normalised).mean(axis=-1), 1, rtol=1e-5)
    assert list(normalised.mean(axis=(0, 1, 2)).argsort()) == [0, 1, 2, 3]


def test_the_realism_critic_judges_patches_with_their_expression(critic):
    images, labels = random(4, 32, 32, 1), jnp.array([0, 1, 2, 0])
    logits = critic(images, labels)
    assert logits.shape == (4, 2, 2) and logits.dtype == jnp.float32
    assert not np.allclose(logits, critic(images, (labels + 1) % 3))


def test_the_gradient_penalty_is_that_of_finite_differences(critic):
    image, label, weight = random(1, 32, 32, 1), jnp.array([1]), jnp.ones(1)
    judged = (critic, image, image, label, label + 1, weight)
    _, metrics = realism_critic_loss(*judged, gradient_penalty=2.0)
    slope = metrics["realism_critic_slope"]
    _, without = realism_critic_loss(*judged, gradient_penalty=0.0)
    assert "realism_critic_slope" not in without
    step = 1e-2

    def score(x):
        return float(critic(x, label).mean())

    analytic = jax.grad(lambda x: critic(x, label).mean())(image)
    np.testing.assert_allclose(slope, jnp.square(analytic).sum(), rtol=1e-4)
    uphill = step * analytic / jnp.sqrt(slope)
    numeric = (score(image + uphill) - score(image - uphill)) / (2 * step)
    np.testing.assert_allclose(numeric**2, slope, rtol=0.05)


def test_the_critics_loss_falls_with_right_judgements_and_moves_no_generated_image(critic):
    real, drawn = random(2, 32, 32, 1), random(2, 32, 32, 1, seed=1)
    labels, wrong, weight = jnp.array([0, 1]), jnp.array([2, 0]), jnp.ones(2)

    def loss(drawn):
        judged = (critic, real, drawn, labels, wrong, weight)
        return realism_critic_loss(*judged, gradient_penalty=0.0)[0]

    assert not np.any(jax.grad(loss)(drawn))
    of_real, of_drawn, of_wrong = critic(real, labels), critic(drawn, labels), critic(real, wrong)
    expected = -jnp.log(jax.nn.sigmoid(of_real))
    for logits in (of_drawn, of_wrong):
        expected -= jnp.log(1 - jax.nn.sigmoid(logits)) / 2
    np.testing.assert_allclose(loss(drawn), expected.mean(), rtol=1e-4)


def test_other_labels_are_never_the_same_and_all_of_them_come():
    labels, positions = jnp.arange(40) % 4, jnp.arange(40)
    others = other_labels(labels, positions // 4, 4)
    assert not np.any(others == labels)
    pairs = {(int(a), int(b)) for a, b in zip(labels, others, strict=True)}
    assert len(pairs) == 4 * 3
    assert list(other_labels(jnp.array([0, 1]), jnp.array([3, 4]), 2)) == [1, 0]


def test_a_decoder_that_sees_the_face_changes_it():
    decoder = Decoder(
        feature_channels=4,
        noise_channels=0,
        embedding_channels=4,
        num_residual_convolutions=1,
        widths=(4, 4, 4, 4),
        sees_face=True,
        rngs=nnx.Rngs(0),
    )
    feature, face = random(2, 2, 2, 4), 0.05 + 0.9 * random(2, 32, 32, 1, seed=1)
    drawn = decoder(feature, feature, None, face)
    changed = jnp.abs(drawn - face).max()
    decoder.to_image.kernel[...] = jnp.zeros_like(decoder.to_image.kernel[...])
    unchanged = decoder(feature, feature, None, face)
    np.testing.assert_allclose(unchanged, face, atol=1e-6)
    assert float(changed) > 1e-3
    black_and_white = jnp.round(face)
    kept = decoder(feature, feature, None, black_and_white)
    np.testing.assert_allclose(jnp.abs(kept - black_and_white), 0.02, atol=1e-6)


def test_the_adversary_learns_people_and_the_confusion_is_least_where_it_cannot():
    adversary = IdentityAdversary(feature_shape=(2, 2, 3), num_identities=5, rngs=nnx.Rngs(0))
    feature, people, weight = random(4, 2, 2, 3), jnp.array([0, 1, 2, 3]), jnp.ones(4)
    slope = jax.grad(lambda x: identity_adversary_loss(adversary, x, people, weight)[0])(feature)
    assert not np.any(slope)
    _, metrics = identity_adversary_loss(adversary, feature, people, weight)
    assert metrics.keys() == {"identity_adversary", "identity_adversary_accuracy"}
    even, sure = jnp.zeros((4, 5)), 9 * jnp.eye(4, 5)
    np.testing.assert_allclose(identity_confusion_loss(even, weight), math.log(5), rtol=1e-6)
    assert identity_confusion_loss(sure, weight) > math.log(5) + 1


def test_some_images_become_coarse():
    images = random(64, 8, 8, 1)
    keys = jax.random.split(jax.random.key(0), 64)
    seen = sometimes_coarse(images, keys, share=0.5)
    means = images.reshape(64, 4, 2, 4, 2).mean(axis=(2, 4))
    coarse = means.repeat(2, axis=1).repeat(2, axis=2)[..., None]
    is_coarse = [bool(jnp.allclose(a, b)) for a, b in zip(seen, coarse, strict=True)]
    assert 15 < sum(is_coarse) < 49
    left = [i for i, changed in enumerate(is_coarse) if not changed]
    np.testing.assert_array_equal(seen[jnp.array(left)], images[jnp.array(left)])
    assert sometimes_coarse(images, keys, share=0.0) is images
    assert sometimes_coarse(images, None, share=0.5) is images


@pytest.fixture(scope="module")
def run(drawn_datasets, tmp_path_factory, four_devices):
    config = tiny_config("tdgan_synthetic", drawn_datasets, *OPTIONS)
    return finished_run(config, tmp_path_factory.mktemp("run") / "run")


def test_the_critics_learn_and_are_no_part_of_the_model(run):
    state = last_state(run)
    assert isinstance(state, StateWithCritics)
    assert state.critics.keys() == {"realism_critic", "identity_adversary"}
    assert "realism_critic" not in state.parameters
    before = jax.device_get(run.program.init_state(jax.random.key(1)))
    batch = next(run.data.feed.batches(0))
    after, metrics = run.program.train_step(ALL)(before, batch, jax.random.key(0))
    assert {"realism", "identity_confusion"} <= metrics.keys()
    assert changed_networks(before, jax.device_get(after)) == {
        *before.parameters,
        *before.critics,
    }


def test_the_classifier_learns_alone_and_then_gives_its_weights_to_what_judges(run):
    training = run.program.training
    assert [stage.name for stage in training.stages] == ["classifier", "adversarial"]
    assert training.updates_due(3, 3, 0) == ALONE
    assert not training.updates_due(10, 0, 1).classifier_alone
    before = jax.device_get(run.program.init_state(jax.random.key(1)))
    batch = next(run.data.feed.batches(0))
    after, metrics = run.program.train_step(ALONE)(before, batch, jax.random.key(0))
    after = jax.device_get(after)
    assert metrics.keys() == {"expression_head", "expression_head_accuracy"}
    assert changed_networks(before, after) == {"expression_encoder", "expression_head"}
    assert training.begin_stage is not None
    begun = training.begin_stage(before, 1, after.parameters)
    encoder, head = after.parameters["expression_encoder"], after.parameters["expression_head"]
    judge = begun.parameters["expression_discriminator"]
    for taken in (begun.parameters["expression_encoder"], judge["encoder"]):
        assert_same(taken, encoder)
    assert_same(judge["head"], head)
    assert_same(begun.critics["realism_critic"]["encoder"], encoder)
    assert not begun.optimizer_states["expression_head"][0].count
    # The step gives every buffer away once: none may stand in two networks.
    buffers = [leaf.ctypes.data for leaf in jax.tree.leaves((begun.parameters, begun.critics))]
    assert len(set(buffers)) == len(buffers)
    assert_same(begun.critics["realism_critic"]["score"], before.critics["realism_critic"]["score"])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["training.classifier_epochs=2"], "must be less than training.epochs, 2"),
        (
            ["training.classifier_epochs=1", "training.discriminator_warmup_steps=3"],
            "set it or training.classifier_epochs to 0",
        ),
    ],
)
def test_stages_that_leave_nothing_are_refused(overrides, words, drawn_datasets, tmp_path):
    config = tiny_config("tdgan_synthetic", drawn_datasets, *overrides)
    with pytest.raises(UsageError, match=words):
        open_run(config, tmp_path / "run")


def test_a_stopped_run_ends_the_same(run, tmp_path):
    resumed = stopped_run(run, tmp_path / "stopped", after_steps=(3, 10, 13))
    assert_same(last_state(run), last_state(resumed))


def test_one_device_computes_what_two_and_four_do(run):
    assert_devices_agree(run, ALL, rtol=1e-2)
    assert_devices_agree(run, ALONE, rtol=1e-2)
    # Adam's first steps hide the size of a gradient; its mean does not.
    four = make_program(run.config, make_mesh(jax.devices()[:4]), run.data.names)
    batch, means = next(run.data.feed.batches(0)), []
    for program in (run.program, four):
        state = run.program.init_state(jax.random.key(3))
        after, _ = program.train_step(ALL)(
            replicate(state, program.mesh), shard_batch(batch, program.mesh), jax.random.key(4)
        )
        states = jax.device_get(after).optimizer_states
        means.append([states[name][0].mu for name in ("realism_critic", "identity_adversary")])
    for one, other in zip(*map(jax.tree.leaves, means), strict=True):
        assert np.abs(one).max() > 0
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-3 * np.abs(one).max())


def test_exports_come_back(run, tmp_path):
    faces = np.asarray(random(2, 32, 32, 1))
    model = tdgan_jax.load(run.workdir)
    drawn = model.transfer(faces, faces[::-1].copy())
    for format in ("torch", "safetensors"):
        parity = export_model(run.workdir, format, tmp_path / format)
        assert parity["different_tensors"] == 0
        again = tdgan_jax.load(tmp_path / format)
        np.testing.assert_array_equal(again.transfer(faces, faces[::-1].copy()), drawn)
    import_weights(tmp_path / "torch", "tdgan", tmp_path / "imported")
    imported = tdgan_jax.load(tmp_path / "imported")
    np.testing.assert_array_equal(imported.transfer(faces, faces[::-1].copy()), drawn)


def test_onnx_computes_the_same(run, tmp_path):
    pytest.importorskip("onnxruntime")
    parity = export_model(run.workdir, "onnx", tmp_path / "onnx")
    assert "generated_image" in parity["largest_differences"]
