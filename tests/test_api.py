"""`tdgan_jax.load` on a run, on exports and on imported weights."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import tdgan_jax
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.exporting import export_model
from tdgan_jax.exchange.importing import import_weights
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.families.stored import digest_of
from tests import golden_tdgan as golden
from tests.tiny_tdgan import IDENTITIES, IMAGE_SIZE_PX, NOISE_SHAPE, make_run

torch = pytest.importorskip("torch", reason="PyTorch's format needs PyTorch")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("api") / "run")


@pytest.fixture(scope="module")
def model(run_folder):
    return tdgan_jax.load(run_folder)


def random_images(count, seed=0):
    shape = (count, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1)
    return np.random.default_rng(seed).random(shape, np.float32)


def test_importing_the_package_is_light():
    command = "import sys, tdgan_jax; assert not {'jax', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True)
    with pytest.raises(AttributeError, match="no attribute 'unload'"):
        tdgan_jax.unload  # noqa: B018


def test_a_run_knows_its_names_and_sizes(model):
    assert model.expression_names == BASIC_EXPRESSIONS
    assert (model.image_size_px, model.image_channels) == (IMAGE_SIZE_PX, 1)
    assert model.noise_shape == NOISE_SHAPE
    assert model.description.identity_names == IDENTITIES


def test_predictions(model, tmp_path):
    images = random_images(9)
    labels, probabilities = model.predict(images)
    assert probabilities.shape == (9, 7)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert labels == [BASIC_EXPRESSIONS[i] for i in probabilities.argmax(axis=1)]
    # Each alone as in the batch: the padding changes nothing.
    for i in (0, 8):
        alone = model.predict(images[i])
        assert alone[0] == [labels[i]]
        np.testing.assert_allclose(alone[1][0], probabilities[i], rtol=1e-4, atol=1e-6)
    picture = Image.fromarray(np.uint8(images[0, ..., 0] * 255))
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(model.predict([picture])[1], model.predict(tmp_path / "a.png")[1])
    assert model.predict([])[0] == []
    assert model.predict([])[1].shape == (0, 7)


def test_answers_can_be_left_out(model):
    images = np.random.default_rng(0).random((4, 32, 32, 1), np.float32)
    _, probabilities = model.predict(images)
    names = model.expression_names
    fewer = model.without("neutral", "fear")
    kept = [i for i, name in enumerate(names) if name not in ("neutral", "fear")]
    assert fewer.expression_names == tuple(names[i] for i in kept)
    labels, left = fewer.predict(images)
    expected = probabilities[:, kept] / probabilities[:, kept].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(left, expected, rtol=1e-5)
    assert labels == [fewer.expression_names[i] for i in expected.argmax(axis=1)]
    (record,) = fewer.analyse(images[0], detect="none")
    assert set(record.probabilities) == set(fewer.expression_names)
    assert model.expression_names == names
    with pytest.raises(UserError, match="did you mean 'fear'"):
        model.without("feer")
    with pytest.raises(UserError, match="leave two expressions"):
        model.without(*names[1:])


def test_nothing_is_compiled_again_for_another_number_of_images(model):
    compiled = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    for count in (1, 8, 32):
        model.predict(random_images(count))
    for count in (1, 8):
        model.transfer(random_images(count), random_images(count))
    jax.monitoring.register_event_duration_secs_listener(listen)
    for count in range(1, 42):
        model.predict(random_images(count))
    for count in (2, 3, 5, 7, 9, 15):
        model.transfer(random_images(count), random_images(count))
        model.interpolate(random_images(2), random_images(1), num_frames=count)
    assert not compiled
    jax.jit(lambda x: x * 3 + 1)(np.float32(len(compiled)))
    assert compiled  # the listener hears what there is to hear


def test_transfer_with_given_and_drawn_noise(model):
    faces, expressions = random_images(3), random_images(3, seed=1)
    drawn = model.transfer(faces, expressions)
    assert drawn.shape == (3, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1)
    assert drawn.dtype == np.float32
    assert 0 <= drawn.min() < drawn.max() <= 1
    np.testing.assert_array_equal(drawn, model.transfer(faces, expressions, key=jax.random.key(0)))
    assert not np.array_equal(drawn, model.transfer(faces, expressions, key=jax.random.key(1)))
    # A picture's noise does not depend on how many stand beside it.
    first = model.transfer(faces[0], expressions[0])
    np.testing.assert_allclose(first[0], drawn[0], rtol=1e-4, atol=1e-6)
    noise = np.random.default_rng(2).random((3, *NOISE_SHAPE), np.float32)
    given = model.transfer(faces, expressions, noise=noise)
    assert not np.array_equal(given, drawn)
    np.testing.assert_array_equal(given, model.transfer(faces, expressions, noise=noise))
    assert not np.array_equal(given, model.transfer(expressions, faces, noise=noise))


def test_interpolation_ends_at_the_given_pictures_and_mixes_features(model):
    faces, expressions = random_images(2), random_images(1, seed=1)
    noise = np.random.default_rng(2).random((1, *NOISE_SHAPE), np.float32)
    twice = np.repeat(noise, 2, axis=0)
    frames = model.interpolate(faces, expressions, num_frames=5, noise=noise)
    assert frames.shape == (5, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1)
    ends = model.transfer(faces, np.repeat(expressions, 2, axis=0), noise=twice)
    np.testing.assert_allclose(frames[[0, -1]], ends, rtol=1e-4, atol=1e-6)
    # The first and the last frame again with the roles of the two branches exchanged.
    frames = model.interpolate(expressions, faces, num_frames=2, noise=noise)
    ends = model.transfer(np.repeat(expressions, 2, axis=0), faces, noise=twice)
    np.testing.assert_allclose(frames, ends, rtol=1e-4, atol=1e-6)
    # Between equal faces nothing moves: one noise for all frames.
    still = model.interpolate(faces[[0, 0]], expressions, num_frames=4)
    np.testing.assert_allclose(still, np.repeat(still[:1], 4, axis=0), rtol=1e-4, atol=1e-6)


def test_features_are_those_of_two_branches(model):
    images = random_images(2)
    face, expression = model.face_features(images), model.expression_features(images)
    assert face.shape == expression.shape == (2, 2, 2, 8)
    assert not np.array_equal(face, expression)
    assert model.face_discriminator_logits(images).shape == (2, len(IDENTITIES) + 1)
    assert model.expression_discriminator_logits(images).shape == (2, 7)


def test_wrong_calls_are_named(model):
    images = random_images(3)
    for call, message in (
        (lambda: model.transfer(images, images[:2]), "3 faces and 2 expressions"),
        (lambda: model.transfer(images, images, noise=np.zeros((3, 8, 8, 256))), "noise of shape"),
        (lambda: model.interpolate(images[:1], images[:1], num_frames=3), "two of the one and"),
        (lambda: model.interpolate(images[:2], images[:2], num_frames=3), "two of the one and"),
        (lambda: model.interpolate(images[:2], images[:1], num_frames=1), "at least 2 frames"),
    ):
        with pytest.raises(UsageError, match=message):
            call()


@pytest.fixture(scope="module")
def forms(run_folder, tmp_path_factory):
    """The same model as a run, as exports and as an import."""
    folder = tmp_path_factory.mktemp("forms")
    export_model(run_folder, "torch", folder / "torch")
    export_model(run_folder, "safetensors", folder / "safetensors")
    import_weights(folder / "torch", "tdgan", folder / "imported")
    return folder


@pytest.mark.parametrize("form", ["torch", "safetensors", "imported"])
def test_every_form_is_the_same_model(model, forms, form):
    loaded = tdgan_jax.load(str(forms / form))
    assert loaded.description == model.description
    images = random_images(8)
    np.testing.assert_array_equal(loaded.predict(images)[1], model.predict(images)[1])
    np.testing.assert_array_equal(loaded.transfer(images, images), model.transfer(images, images))


def test_what_is_no_model_is_named(forms, run_folder, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        tdgan_jax.load(tmp_path / "absent")
    with pytest.raises(UserError, match="is no model.*tdgan-jax import"):
        tdgan_jax.load(tmp_path)
    cross_validation = tmp_path / "folds"
    shutil.copytree(run_folder, cross_validation / "fold_0")
    shutil.copy(run_folder / "config.json", cross_validation)
    with pytest.raises(UserError, match="cross-validation; give one of its runs.*fold_0"):
        tdgan_jax.load(cross_validation)
    young = tmp_path / "young"
    young.mkdir()
    shutil.copy(run_folder / "config.json", young)
    with pytest.raises(UserError, match="no checkpoint chosen on 'validation' yet"):
        tdgan_jax.load(young)
    damaged = tmp_path / "damaged"
    shutil.copytree(run_folder, damaged)
    for path in damaged.glob("checkpoints/*/1/tree/**/*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="checkpoint in .*damaged cannot be read"):
        tdgan_jax.load(damaged)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "other"}, "family 'other'; this version knows"),
        ({"num_identities": 9}, "num_identities is 9 there and 3 in the weights"),
        ({"identity_names": ["a", "b"]}, "identity_names has 2 names there for 3 people in the"),
        ({"identity_names": []}, "identity_names has 0 names there for 3 people in the weights"),
        ({"expression_names": ["a"]}, "number of expression_names is 1 there and 7"),
        ({"architecture": {}}, "is None there and"),
        ({"weights": "onnx"}, "is an ONNX export"),
    ],
)
def test_a_description_of_other_weights_is_named(forms, tmp_path, changes, message):
    folder = tmp_path / "export"
    shutil.copytree(forms / "safetensors", folder)
    stored = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(stored | changes))
    with pytest.raises(UserError, match=message):
        tdgan_jax.load(folder)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_size_px", 10**9, "image_size_px"),
        ("num_inception_blocks", 10**9, "num_inception_blocks is 1000000000 there and 1"),
        ("width_multiplier", 1e12, "Enc_FR_G does not fit"),
        ("width_multiplier", [1], "architecture of the model is impossible"),
        ("width_multiplier", float("inf"), "it is not JSON: the number Infinity is not finite"),
        ("width_multiplier", "wide", "architecture of the model is impossible"),
        ("colour", 1, "colour is 1 there and None in the weights"),
    ],
)
def test_an_impossible_architecture_is_named(forms, tmp_path, field, value, message):
    folder = tmp_path / "export"
    shutil.copytree(forms / "safetensors", folder)
    stored = json.loads((folder / "model.json").read_text())
    stored["architecture"][field] = value
    (folder / "model.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=message):
        tdgan_jax.load(folder)


@pytest.fixture(scope="module")
def golden_model(tmp_path_factory):
    """The golden weights, saved by torch as the six files, imported."""
    folder = tmp_path_factory.mktemp("golden")
    (folder / "released").mkdir()
    stems = ("Enc_FR_G", "Enc_ER_G", "fc_ER_G", "dec", "Dis_FR", "Dis_ER")
    weights = golden.golden_weights()
    for stem, state_dict in zip(stems, weights.values(), strict=True):
        tensors = {key: torch.from_numpy(value) for key, value in state_dict.items()}
        torch.save(tensors, folder / "released" / f"{stem}.pkl")
    import_weights(folder / "released", "tdgan", folder / "imported")
    return folder, dict(zip(stems, weights.values(), strict=True))


def channels_last(array):
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def test_golden_weights_through_load(golden_model):
    folder, weights = golden_model
    loaded = tdgan_jax.load(folder / "imported")
    face = channels_last(golden.golden_face_image())
    expression = channels_last(golden.golden_expression_image())
    np.testing.assert_allclose(
        loaded.expression_logits(expression), golden.EXPRESSION_LOGITS, rtol=1e-4, atol=1e-5
    )
    exponentials = np.exp(np.array(golden.EXPRESSION_LOGITS))
    labels, probabilities = loaded.predict(expression)
    assert labels == ["sadness", "surprise"]
    np.testing.assert_allclose(
        probabilities, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-4
    )
    generated = loaded.transfer(face, expression, noise=channels_last(golden.golden_noises(0)[0]))
    for name, value in (
        ("face_feature", loaded.face_features(face)),
        ("expression_feature", loaded.expression_features(expression)),
        ("generated_image", generated),
    ):
        np.testing.assert_allclose(
            golden.statistics(value), golden.STATISTICS[name], rtol=1e-4, err_msg=name
        )
        first = golden.FIRST_VALUES[name]
        np.testing.assert_allclose(
            value[0, 0, : len(first), 0], first, rtol=1e-4, atol=1e-6, err_msg=name
        )
    assert generated[1, 64, 64, 0] == pytest.approx(golden.GENERATED_IMAGE_1_0_64_64, rel=1e-4)


def test_golden_weights_come_out_bit_identical(golden_model, tmp_path):
    from tdgan_jax.exchange.opening import open_model
    from tdgan_jax.families.tdgan.weights import FILE_STEMS, torch_from_tdgan
    from tdgan_jax.torch_weights.state_files import write_torch_files

    folder, weights = golden_model
    stored = open_model(folder / "imported")
    write_torch_files(tmp_path, torch_from_tdgan(stored.parameters), FILE_STEMS)
    for stem, state_dict in weights.items():
        written = torch.load(tmp_path / f"{stem}.pkl", weights_only=True)
        assert list(written) == list(state_dict)
        for key, value in state_dict.items():
            assert written[key].dtype == torch.float32
            assert written[key].numpy().tobytes() == value.tobytes(), (stem, key)


def test_the_digest_tells_models_apart():
    recogniser, generator = tdgan_jax.load("pretrained"), tdgan_jax.load("pretrained_tdgan")
    assert recogniser.digest == tdgan_jax.load("pretrained").digest
    assert recogniser.digest == recogniser.without("contempt").digest
    assert len({recogniser.digest, generator.digest}) == 2 and len(recogniser.digest) == 64
    stored = open_model("pretrained")
    assert digest_of(stored) == recogniser.digest
    warmer = stored._replace(description=stored.description._replace(temperature=2.0))
    altered = jax.tree.map(lambda x: x + 1e-6, stored.parameters)
    for other in (warmer, stored._replace(parameters=altered)):
        assert digest_of(other) != recogniser.digest
