"""A classifier that begins with the weights of another one."""

import jax
import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.classifier.training import classifier_training
from tdgan_jax.families.family import Names
from tdgan_jax.families.stored import ModelDescription, Preprocessing, StoredModel

NAMES = ("happiness", "sadness", "anger")
CONFIG = "configs/recogniser_ferplus.py:tiny"


def new_training(names=NAMES, **fields):
    overrides = {"training.initial_model": "other", **fields}
    config = load_config(CONFIG, [f"{field}={value}" for field, value in overrides.items()])
    return config, classifier_training(config, Names((), names))


def stored(config, training, family="classifier") -> StoredModel:
    parameters = jax.device_get(jax.jit(training.init_state)(jax.random.key(7)).weights)
    description = ModelDescription(
        family=family,
        architecture=config.model.to_dict(),
        expression_names=NAMES,
        num_identities=0,
        identity_names=None,
        preprocessing=Preprocessing(32, 1, "resize", None),
    )
    return StoredModel(description, None, parameters)


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize(
    "names",
    [NAMES, NAMES[::-1], ("anger", "fear", "happiness", "disgust"), ("fear", "disgust")],
    ids=["same", "reversed", "others too", "others alone"],
)
@pytest.mark.parametrize("encoder", ["resnet", "inception"])
def test_the_encoder_is_taken_and_the_classes_by_name(names, encoder):
    _, training = new_training(names, **{"model.encoder": encoder})
    other = stored(*new_training(**{"model.encoder": encoder}))
    first = jax.device_get(jax.jit(training.init_state)(jax.random.key(0)))
    state = training.with_given_weights(first, lambda path: other)
    for trees in (state.weights, state.weight_averages):
        for found, given in zip(
            leaves(trees["expression_encoder"]),
            leaves(other.parameters["expression_encoder"]),
            strict=True,
        ):
            np.testing.assert_array_equal(found, given)
        last = {"resnet": "fc", "inception": "fc3"}[encoder]
        head, trained, random = (
            tree["expression_head"] for tree in (trees, other.parameters, first.weights)
        )
        for kind in ("kernel", "bias"):
            for column, name in enumerate(names):
                known = name in NAMES
                source, position = (trained, NAMES.index(name)) if known else (random, column)
                np.testing.assert_array_equal(
                    head[last][kind][..., column], source[last][kind][..., position]
                )
        if encoder == "inception":
            source = trained if set(names) & set(NAMES) else random
            for layer in ("fc1", "fc2"):
                for found, given in zip(leaves(head[layer]), leaves(source[layer]), strict=True):
                    np.testing.assert_array_equal(found, given)
    assert int(state.step) == 0


def test_another_size_and_another_system_are_named():
    _, training = new_training()
    first = jax.device_get(jax.jit(training.init_state)(jax.random.key(0)))
    wider = stored(*new_training(**{"model.resnet_width": 8}))
    with pytest.raises(UsageError, match="resnet_width is 8 there and 4 here"):
        training.with_given_weights(first, lambda path: wider)
    other = stored(*new_training(), family="tdgan")
    with pytest.raises(UsageError, match="other is of the family 'tdgan'"):
        training.with_given_weights(first, lambda path: other)


def test_without_a_model_nothing_is_given():
    _, training = new_training(**{"training.initial_model": ""})
    assert training.with_given_weights is None
