"""What a training takes from its examples, and what is wrong with them or with a user's files."""

import pickle

import jax
import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.data.examples import Examples
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.importing import import_weights
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.families.emotion_gcn.adjacency import AFFECTNET_EXPRESSIONS, adjacency_matrix
from tdgan_jax.families.emotion_gcn.label_graph import adjacency_of, beginning, class_weights_of
from tdgan_jax.families.emotion_gcn.training import check_given_weights, emotion_gcn_training
from tdgan_jax.families.emotion_gcn.weights import write_checkpoint
from tdgan_jax.families.family import Names
from tdgan_jax.torch_weights.densenet import torch_from_densenet
from tests.families.emotion_gcn.emotion_networks import (
    SMALL,
    adjacency,
    filled_model,
    small_word_vectors,
)

CONFIG = "configs/emotion_gcn_synthetic.py:tiny"
NAMES = AFFECTNET_EXPRESSIONS


def examples_of(affect: np.ndarray | None = None, count: int = 210) -> Examples:
    """Examples with labels alone, as they would come from any dataset."""
    labels = np.arange(count, dtype=np.int32) % 7
    files = np.array([f"{i:03d}.png" for i in range(count)])
    return Examples([], labels, NAMES, np.full(count, -1), (), files, files, None, affect=affect)


def some_affect(count: int = 210) -> np.ndarray:
    random = np.random.default_rng(0)
    places = [
        (0, -0.6),
        (0.7, 0.3),
        (-0.6, -0.3),
        (0.4, 0.6),
        (-0.6, 0.6),
        (-0.6, 0.3),
        (-0.4, 0.7),
    ]
    noise = random.uniform(-0.2, 0.2, (count, 2))
    return (np.array(places)[np.arange(count) % 7] + noise).astype(np.float32)


def begun(*overrides: str, affect: np.ndarray | None = None):
    return beginning(load_config(CONFIG, list(overrides)), examples_of(affect))


def test_the_state_of_a_new_run_has_the_constants():
    config = load_config(CONFIG, ["graph.adjacency=affectnet", "loss.class_weights=rarest"])
    training = emotion_gcn_training(config, Names((), NAMES))
    state = jax.device_get(training.init_state(jax.random.key(0)))
    assert np.isnan(state.parameters["network"]["graph"]["adjacency"]).all()
    found = beginning(config, examples_of(some_affect()))
    changed = found.change(state)
    graph = changed.parameters["network"]["graph"]
    np.testing.assert_allclose(graph["adjacency"], adjacency(), atol=1e-7)
    assert graph["gc1"] is state.parameters["network"]["graph"]["gc1"]
    assert changed.parameters["word_vectors"]["vectors"].shape == (9, 16)
    np.testing.assert_array_equal(changed.class_weights, 1)
    assert found.record["words"][1] == "happy" and found.record["correlations_of"] == "affectnet"
    # What it is put into has the same types and shapes: the compiled step takes it.
    jax.tree.map(lambda x, y: np.testing.assert_equal(np.shape(x), np.shape(y)), state, changed)
    assert {leaf.dtype for leaf in jax.tree.leaves(changed.parameters)} == {np.dtype(np.float32)}


def test_a_graph_of_any_datasets_labels():
    graph = adjacency_of(examples_of(some_affect()), "labels")
    assert graph.nodes == (*NAMES, "valence", "arousal")
    np.testing.assert_array_equal(graph.adjacency, adjacency_matrix(graph.correlations, NAMES))
    sparse = adjacency_of(examples_of(some_affect()), "labels", threshold=0.2)
    assert (sparse.adjacency > 0).sum() <= (graph.adjacency > 0).sum()


def test_class_weights_are_those_of_affectnet():
    counts = np.array([74874, 134415, 25459, 14090, 6378, 3803, 24882])
    weights = class_weights_of(np.repeat(np.arange(7), counts), 7, "rarest")
    np.testing.assert_allclose(weights, 3803 / counts, rtol=1e-6)
    np.testing.assert_array_equal(
        class_weights_of(np.array([0, 0, 2, -1]), 3, "rarest"), [0.5, 0, 1]
    )


def test_word_vectors_from_every_source(tmp_path):
    lines = [f"{word} " + " ".join(["0.5"] * 16) for word in ("the", "happy", "sad", *NAMES)]
    lines += [f"{word} " + " ".join(["0.25"] * 16) for word in ("valence", "arousal")]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "emb.pkl").write_bytes(pickle.dumps(np.ones((9, 16))))
    for source, value in (("glove.txt", 0.25), ("emb.pkl", 1.0)):
        found = begun(f"graph.word_vectors={tmp_path / source}", affect=some_affect())
        words = found.change(_State()).parameters["word_vectors"]["vectors"]
        assert words.dtype == np.float32 and (words[-1] == value).all()


class _State:
    """As much of a state as the change looks at."""

    parameters = {"network": {"graph": {}}}  # noqa: RUF012

    def _replace(self, **fields):
        for name, value in fields.items():
            setattr(self, name, value)
        return self


@pytest.mark.parametrize(
    ("affect", "message"),
    [
        (None, 'no valence and arousal.*heads="single_task", or the plain classifier'),
        (np.full((210, 2), np.nan, np.float32), "no valence and arousal"),
        (np.full((210, 2), -2, np.float32), r"000.png has the valence -2.*\(210 such.*AffectNet"),
        (np.full((210, 2), 0.5, np.float32), "no correlation with valence, arousal"),
    ],
)
def test_labels_that_no_graph_comes_from(affect, message):
    with pytest.raises(UserError, match=message):
        begun(affect=affect)


def test_a_single_task_needs_no_affect():
    assert "adjacency" not in begun("model.heads=single_task").record
    with pytest.raises(UserError, match="no valence and arousal"):
        begun("model.heads=multi_task")


def test_files_of_word_vectors_that_do_not_fit(tmp_path):
    good = [f"{word} " + " ".join(["0.5"] * 16) for word in ("happy", *NAMES)]
    for name, content, message in (
        ("short.txt", "the 0.1 0.2\n", "no GloVe file of 16 dimensions: its first line holds 2"),
        ("cut.txt", f"{good[0]}\nsad 0.1 0.2", "truncated: line 2 holds 2 numbers"),
        ("few.txt", "\n".join(good) + "\n", "no vector of sad, valence, arousal"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=message):
            begun(f"graph.word_vectors={tmp_path / name}", affect=some_affect())
    for name, rows, message in (
        ("rows.pkl", np.ones((8, 16)), "9 rows, one for each"),
        ("size.pkl", np.ones((9, 20)), "set model.word_vector_size=20"),
    ):
        (tmp_path / name).write_bytes(pickle.dumps(rows))
        with pytest.raises(UserError, match=message):
            begun(f"graph.word_vectors={tmp_path / name}", affect=some_affect())
    with pytest.raises(UserError, match="there is no file"):
        begun("graph.word_vectors=nowhere.pkl", affect=some_affect())
    with pytest.raises(UsageError, match="model.word_vector_size must be even"):
        begun("model.word_vector_size=15", affect=some_affect())


class Foreign:
    """A class that no file of an owner holds."""


def test_pickles_with_other_classes_are_not_run(tmp_path):
    path = tmp_path / "foreign.pkl"
    path.write_bytes(pickle.dumps(Foreign()))
    for field in ("graph.word_vectors", "graph.adjacency"):
        with pytest.raises(UserError):
            begun(f"{field}={path}", affect=some_affect())


def test_options_that_are_unknown():
    with pytest.raises(UsageError, match="loss.class_weights"):
        begun("loss.class_weights=rare", affect=some_affect())
    for field, value, message in (
        ("model.heads", "graph", "heads is 'graph'; known: single_task, multi_task, emotion_gcn"),
        ("data.mean", (0.1, 0.2, 0.3), "data.mean has 3 numbers; images of 1 channel"),
        ("model.block_layers", ("a",), "config.model"),
        ("schedule.kind", "stairs", "schedule.kind"),
    ):
        config = load_config(CONFIG)
        config.update_from_flattened_dict({field: value})
        with pytest.raises(UsageError, match=message):
            emotion_gcn_training(config, Names((), NAMES))
    given = ["training.start_weights=densenet121.pth"]
    with pytest.raises(UserError, match="there is no file or folder densenet121.pth"):
        check_given_weights(load_config(CONFIG, given))
    with pytest.raises(UsageError, match="is for model.backbone=densenet"):
        check_given_weights(load_config(CONFIG, [*given, "model.backbone=bregnext"]))


def test_a_run_begins_with_the_weights_of_torchvision(tmp_path):
    torch = pytest.importorskip("torch", reason="torchvision's files need PyTorch")
    path = tmp_path / "densenet.pth"
    config = load_config(CONFIG, [f"training.start_weights={path}"])
    training = emotion_gcn_training(config, Names((), NAMES))
    assert training.with_given_weights is not None
    colour = load_config(CONFIG, ["model.image_channels=3"])
    other = emotion_gcn_training(colour, Names((), NAMES)).init_state(jax.random.key(1))
    given = torch_from_densenet(jax.device_get(other.parameters["network"]["backbone"]))
    # As torchvision had it until 0.2: a dot before the digit, no counters, a classifier.
    old = {
        f"features.{key}".replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for key, value in given.items()
        if not key.endswith("num_batches_tracked")
    } | {"classifier.weight": np.ones((10, 4), np.float32)}
    torch.save({key: torch.tensor(value) for key, value in old.items()}, path)
    state = jax.device_get(training.init_state(jax.random.key(0)))
    backbone = training.with_given_weights(state, None).parameters["network"]["backbone"]
    kernel = given["conv0.weight"].sum(axis=1, keepdims=True).transpose(2, 3, 1, 0)
    np.testing.assert_allclose(backbone["conv0"]["kernel"], kernel, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(
        backbone["norm5"]["scale"], other.parameters["network"]["backbone"]["norm5"]["scale"]
    )


def test_a_released_checkpoint_is_imported_with_its_word_vectors(tmp_path):
    pytest.importorskip("torch", reason="the released files are PyTorch's")
    model = filled_model(backbone="bregnext", **SMALL)
    folder = tmp_path / "released"
    folder.mkdir()
    write_checkpoint(folder / "emotion_gcn.pth", model.state_dict, epoch=7)
    with pytest.raises(UserError, match="no word_vectors beside the network.*--emb"):
        import_weights(folder / "emotion_gcn.pth", "emotion_gcn", tmp_path / "out")
    (folder / "word_vectors.pkl").write_bytes(pickle.dumps(small_word_vectors().astype(float)))
    imported = import_weights(folder, "emotion_gcn", tmp_path / "out")
    assert any("normalised with the mean (0.485" in text for text in imported.assumptions)
    assert imported.description.expression_names == NAMES
    stored = open_model(tmp_path / "out")
    jax.tree.map(np.testing.assert_array_equal, stored.parameters["network"], model.parameters)
    np.testing.assert_array_equal(
        stored.parameters["word_vectors"]["vectors"], small_word_vectors()
    )
    (folder / "word_vectors.pkl").write_bytes(pickle.dumps(np.ones(9)))
    with pytest.raises(UserError, match="holds no array of word vectors"):
        import_weights(folder, "emotion_gcn", tmp_path / "other")


def test_a_released_baseline_is_one_file(tmp_path):
    pytest.importorskip("torch", reason="the released files are PyTorch's")
    model = filled_model(backbone="densenet", heads="multi_task", **SMALL)
    write_checkpoint(tmp_path / "best", model.state_dict)
    (tmp_path / "best").rename(tmp_path / "best.pth")
    import_weights(tmp_path / "best.pth", "emotion_gcn", tmp_path / "out")
    stored = open_model(tmp_path / "out")
    assert stored.description.architecture["heads"] == "multi_task"
    jax.tree.map(np.testing.assert_array_equal, stored.parameters["network"], model.parameters)
