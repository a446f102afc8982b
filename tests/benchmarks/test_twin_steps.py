"""The torch twins do the work that they are timed for: the same losses, optimisers included."""

from functools import partial

import jax
import numpy as np
import pytest

from benchmarks.random_inputs import (
    NUM_EXPRESSIONS,
    as_model,
    first_state,
    names_of,
    random_batch,
)
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.ifgan.weights import torch_from_ifgan
from tdgan_jax.families.program import make_training
from tdgan_jax.networks import resnet
from tdgan_jax.steps.parallel import make_mesh, parallel_train_step
from tests.families.ifgan.ifgan_networks import SHALLOW

torch = pytest.importorskip("torch", reason="the torch twins need the extra [torch]")

from benchmarks.torch_ifgan_step import make_torch_step  # noqa: E402
from benchmarks.torch_image_step import TorchImageStep  # noqa: E402
from benchmarks.twins import make_twin_step  # noqa: E402
from tdgan_jax.torch_weights import resnet_torch  # noqa: E402
from tdgan_jax.torch_weights.state_files import to_tensors  # noqa: E402

NUM_STEPS = 2
# Between them they have all kinds of optimisers and losses.
CONFIGURATIONS = {
    "classifier": ("recogniser_ferplus:tiny", "loss.label_smoothing=0.1", 0),
    "esr, first stage": ("esr_ferplus:tiny", "loss.channel_source=spatial_columns", 0),
    "esr, last stage": ("esr_synthetic:tiny", "optimizer.clip_norm=1", 2),
    "ma_net": ("ma_net_synthetic:tiny", "optimizer.nesterov=true", 0),
    "emotion_gcn": ("emotion_gcn_synthetic:tiny", "optimizer.kind=adam", 0),
}


def jax_losses(config, state, batch, updates, num_steps=NUM_STEPS):
    """The state after some steps, and the losses of each."""
    training = make_training(config, names_of(config))
    step = parallel_train_step(
        partial(training.train_step, updates), make_mesh(jax.devices()[:1]), mapping="shard_map"
    )
    losses = []
    for _ in range(num_steps):
        state, metrics = step(state, batch, jax.random.key(1))
        losses.append(jax.device_get(metrics))
    return state, losses


def assert_close(ours, theirs, **tolerances):
    for number, (mine, losses) in enumerate(zip(ours, theirs, strict=True)):
        assert losses.keys() <= mine.keys()
        for name, loss in losses.items():
            np.testing.assert_allclose(
                mine[name], loss, err_msg=f"step {number}: {name}", **tolerances
            )


@pytest.mark.parametrize(("name", "field", "stage"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_losses_of_single_images_are_those_of_jax_step_by_step(name, field, stage):
    config = load_config(f"configs/{name.replace(':', '.py:')}", [field, "schedule.kind=constant"])
    if config.family == "classifier":
        config.model.dropout_rate = 0.0
    batch = random_batch(config, batch_size=4)
    # An image in float32 and in uint8 are the same only if both sides divide by 255 first.
    images = torch.from_numpy(batch.image.transpose(0, 3, 1, 2).copy()).float() / 255
    state = jax.device_get(first_state(config, make_training(config, names_of(config))))
    twin = TorchImageStep(config, as_model(config, state.parameters))
    targets = torch.from_numpy(batch.target), torch.from_numpy(batch.affect)
    theirs = [twin.step(stage, images, *targets) for _ in range(NUM_STEPS)]
    # Of a stage that is not the first the optimiser begins anew, as `first_state` has it.
    _, ours = jax_losses(config, state, batch, stage if config.family == "esr" else ())
    reported = {key for key in ours[0] if not key.endswith(("_accuracy", "_newest"))}
    assert theirs[0].keys() == reported
    assert_close(ours[:1], theirs[:1], rtol=1e-4, atol=1e-5)
    # So are the updates; but batch norms over four positions make more of the roundings.
    of_labels = [
        {key: loss for key, loss in losses.items() if not key.startswith("diversity")}
        for losses in theirs
    ]
    assert_close(ours[1:], of_labels[1:], rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "field", "message"),
    [
        ("classifier_synthetic", "loss.class_weighting_exponent=0.5", "class_weighting_exponent"),
        ("esr_synthetic", "training.learns=affect", "learns expressions alone"),
        ("ifgan_synthetic", "model.has_generator=false", "pairs by concatenation only"),
        ("tdgan_synthetic", "loss.perceptual_network=face_encoder", "knows only 'face_disc"),
        ("tdgan_synthetic", "learning_rate.decoder=0", "learning_rate.decoder is 0"),
    ],
)
def test_what_a_twin_cannot_do_is_refused(name, field, message):
    fields = [field] if "affect" not in field else [field, "model.has_affect=true"]
    config = load_config(f"configs/{name}.py:tiny", fields)
    with pytest.raises(UsageError, match=message):
        make_twin_step(config, random_batch(config, 4), threads=2)


@pytest.fixture
def ifgan_config(monkeypatch):
    """A small IF-GAN with the objective that the twin knows: the specification's."""
    for depths in (resnet.DEPTHS, resnet_torch.DEPTHS):
        monkeypatch.setitem(depths, SHALLOW, ((1, 1, 0, 0), False))
    return load_config("configs/ifgan_ck_plus.py:tiny", [f"model.classifier_depth={SHALLOW}"])


def ifgan_twin_losses(config, parameters, batch):
    """The twin's losses of some steps from the same weights on, and its centres after them."""
    training = make_torch_step(config.model.to_dict(), NUM_EXPRESSIONS)
    weights = torch_from_ifgan(parameters)
    for name in ("generator", "discriminator"):
        getattr(training, name).load_state_dict(to_tensors(weights[name]))
    training.classifier.resnet.load_state_dict(to_tensors(weights["classifier"]))

    def tensor(images):
        return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1

    images = tensor(batch.image), tensor(batch.average_image)
    labels = torch.from_numpy(batch.expression_label).long()
    losses = [training.step(*images, labels) for _ in range(NUM_STEPS)]
    return losses, training.centres.numpy()


def test_all_losses_of_ifgan_are_those_of_jax_step_by_step(ifgan_config):
    labels = np.arange(8, dtype=np.int32) % NUM_EXPRESSIONS  # all: the first batch sets the centres
    batch = random_batch(ifgan_config, batch_size=8)._replace(expression_label=labels)
    state = first_state(ifgan_config, make_training(ifgan_config, names_of(ifgan_config)))
    # Before the step consumes them.
    theirs, centres = ifgan_twin_losses(ifgan_config, jax.device_get(state.parameters), batch)
    state, ours = jax_losses(ifgan_config, state, batch, ())
    assert {"generator", "classifier", "adversarial"} < theirs[0].keys()
    assert_close(ours, theirs, rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(state.centres, centres, rtol=1e-2, atol=1e-3)
