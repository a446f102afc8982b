"""IF-GAN's torch twin does the work that it is timed for: the same losses, optimisers included."""

from functools import partial

import jax
import numpy as np
import pytest

from benchmarks.ifgan_step import NUM_EXPRESSIONS, UPDATES, random_batch
from tdgan_jax.configuration import load_config
from tdgan_jax.families.family import Names
from tdgan_jax.families.ifgan.training import ifgan_training
from tdgan_jax.families.ifgan.weights import torch_from_ifgan
from tdgan_jax.networks import resnet
from tdgan_jax.steps.parallel import make_mesh, parallel_train_step
from tests.families.ifgan.ifgan_networks import SHALLOW

torch = pytest.importorskip("torch", reason="the torch twins need the extra [torch]")

from benchmarks.torch_ifgan_step import make_torch_step  # noqa: E402
from tdgan_jax.torch_weights import resnet_torch  # noqa: E402
from tdgan_jax.torch_weights.state_files import to_tensors  # noqa: E402

NUM_STEPS = 3


@pytest.fixture
def config(monkeypatch):
    """A small IF-GAN with the objective that the twin knows: the specification's."""
    for depths in (resnet.DEPTHS, resnet_torch.DEPTHS):
        monkeypatch.setitem(depths, SHALLOW, ((1, 1, 0, 0), False))
    return load_config("configs/ifgan_ck_plus.py:tiny", [f"model.classifier_depth={SHALLOW}"])


def torch_losses(config, parameters, batch):
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


def test_all_losses_of_the_twin_are_those_of_jax_step_by_step(config):
    labels = np.arange(8, dtype=np.int32) % NUM_EXPRESSIONS  # all: the first batch sets the centres
    batch = random_batch(config, batch_size=8)._replace(expression_label=labels)
    family = ifgan_training(config, Names((), tuple("abcdefgh"[:NUM_EXPRESSIONS])))
    state = jax.jit(family.init_state)(jax.random.key(0))
    # Before the step consumes them.
    expected, centres = torch_losses(config, jax.device_get(state.parameters), batch)
    step = parallel_train_step(
        partial(family.train_step, UPDATES), make_mesh(jax.devices()[:1]), mapping="shard_map"
    )
    for number, theirs in enumerate(expected):
        state, ours = step(state, batch, jax.random.key(1))
        assert {"generator", "classifier", "adversarial"} < theirs.keys() <= ours.keys()
        for name, loss in theirs.items():
            np.testing.assert_allclose(
                ours[name], loss, rtol=2e-3, atol=1e-4, err_msg=f"step {number}: {name}"
            )
    np.testing.assert_allclose(state.centres, centres, rtol=1e-2, atol=1e-3)
