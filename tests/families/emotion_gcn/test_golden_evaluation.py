"""The released models in evaluation: every golden number of section 9.2, ours and the twins'."""

import pickle
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import tdgan_jax
from tdgan_jax.exchange.importing import import_weights
from tdgan_jax.families.emotion_gcn.weights import write_checkpoint
from tdgan_jax.networks.densenet import max_pool_3x3_stride_2_any_size
from tests import golden_emotion_gcn as golden
from tests.families.emotion_gcn.emotion_networks import (
    MODELS,
    filled_model,
    filled_twin,
    nchw,
    nhwc,
)

SIZES_PX = {"densenet": 227, "bregnext": 112}
AGREEMENT = {"rtol": 1e-5, "atol": 1e-6}  # the spec's, for float32

# Mean and deviation of the graph's output, its first and last row.
LABEL_VECTORS = {
    "densenet": (
        (-0.000536801, 0.05780085),
        (-0.0390968, -0.00630576, -0.0108773),
        (0.0349782, -0.0695223, 0.0686526),
    ),
    "bregnext": (
        (0.01037541, 0.1638829),
        (-0.385494, 0.0513866, -0.0592989),
        (-0.965417, 0.0997776, -0.287888),
    ),
}
LOGITS = {
    "densenet": [
        [0.3043269, 0.127906, -0.1353537, 0.3711528, 0.175944, 0.03797425, -0.1434992],
        [0.3064865, 0.1320425, -0.132739, 0.3812616, 0.1761351, 0.04020857, -0.1414447],
    ],
    "bregnext": [
        [0.04537464, 0.5560246, 0.5319546, 0.06295609, 0.4626079, 1.080522, 0.2537123],
        [0.07097007, 0.5746773, 0.5421996, 0.07350074, 0.4833949, 1.096382, 0.2727541],
    ],
}
AFFECT = {
    "densenet": [
        [0.1795939, 0.5588572],
        [0.1869041, 0.5750466],
        [0.17889, 0.5526776],
        [0.1699245, 0.560252],
    ],
    "bregnext": [
        [2.071107, 0.9220457],
        [2.139349, 0.97453],
        [2.11097, 0.9553881],
        [2.091772, 0.8763246],
    ],
}
# Of the first image with 112 pixels.
SMALL_DENSENET = (
    [0.2942144, 0.1110553, -0.09945121, 0.3942005, 0.1960428, 0.06111223, -0.1295514],
    [0.1768194, 0.6508033],
)
# Mean, deviation and the first three values of each stage.
STAGES = {
    "densenet": {
        "conv0": (-0.01094478, 0.5249447, -0.16566, -0.138562, -0.398093),
        "denseblock1": (0.1047266, 0.4757214, 0, 0, 0),
        "transition1": (0.005647098, 0.4922938, -0.199555, -0.239396, -0.143338),
        "denseblock2": (0.01323817, 0.3097534, -0.199555, -0.239396, -0.143338),
        "denseblock3": (0.00456384, 0.1652519, 0.0355911, -0.0270685, -0.0097546),
        "transition3": (-0.004292609, 0.1437647, -0.0968486, -0.174885, -0.174458),
        "norm5": (-0.002130509, 0.1584332, -0.0583777, -0.135689, -0.135266),
    },
    "bregnext": {
        "_conv0": (0.001192803, 0.5536085, -0.259558, 0.022037, 0.125524),
        "_model.0": (0.002141993, 0.4025357, 0.380013, 0.166738, 0.732644),
        "_model.1": (0.01406391, 0.4228031, 0.00385833, -0.269428, -0.202747),
        "_model.2": (0.07142714, 0.5671888, 0.0755985, -0.257121, 0.15523),
        "_model.3": (0.1126533, 0.5521894, 0.293284, 0.554989, 0.17247),
        "_model.4": (-0.03639879, 0.5550714, -0.157132, 0.122424, -0.169005),
        "_model.7": (0.02875334, 0.3937798, -0.346158, -0.20916, 0.31396),
    },
}
BASELINES = {
    ("single_task", "densenet"): [
        (0.2670611, -0.07423533, -0.1701489, -0.01859903, -0.05610648, -0.04332539, -0.01523689)
    ],
    ("multi_task", "densenet"): [
        (0.2670611, -0.07423533, -0.1701489, -0.01859903, -0.05610648, -0.04332539, -0.01523689),
        (-0.02552353, -0.00610966),
    ],
    ("single_task", "bregnext"): [
        (-0.3044072, -0.03388119, -0.08364225, 0.1951974, 0.2101729, 0.7429875, 0.2255837)
    ],
    ("multi_task", "bregnext"): [
        (0.2332463, -0.167636, 0.953347, -1.076298, 0.331744, -0.5649575, -0.4169281),
        (-0.3044072, -0.03388119),
    ],
}


@cache
def model_of(heads: str, backbone: str):
    return filled_model(heads=heads, backbone=backbone, image_size_px=SIZES_PX[backbone])


@cache
def images(size_px: int) -> jax.Array:
    return jnp.asarray(nhwc(golden.images(size_px)))


def densenet_stages(densenet, image):
    stages = {"conv0": densenet.conv0(image)}
    x = max_pool_3x3_stride_2_any_size(nnx.relu(densenet.norm0(stages["conv0"], None)))
    for i, layers in enumerate(densenet.blocks):
        if i:
            x = stages[f"transition{i}"] = densenet.transitions[i - 1](x, None)
        for layer in layers:
            x = jnp.concatenate([x, layer(x, None)], axis=-1)
        stages[f"denseblock{i + 1}"] = x
    return stages | {"norm5": densenet(image)}


def bregnext_stages(bregnext, image):
    x = bregnext.conv0(image)
    stages = {"_conv0": x}
    for i, layers in enumerate(bregnext.groups):
        for layer in layers:
            x = layer(x, None)
        stages[f"_model.{i}"] = x
    return stages | {"_model.7": bregnext(image)[:, None, None]}


@pytest.mark.parametrize("backbone", SIZES_PX)
def test_emotion_gcn_with_all_its_stages(backbone):
    model = model_of("emotion_gcn", backbone)
    stages_of = {"densenet": densenet_stages, "bregnext": bregnext_stages}[backbone]

    @jax.jit
    def run(parameters, image, words):
        network = nnx.merge(model.definitions.network, parameters)
        stages = stages_of(network.backbone, image)
        return network(image, words), network.label_vectors(words), stages

    words = jnp.asarray(golden.word_vectors())
    prediction, vectors, stages = run(model.parameters, images(SIZES_PX[backbone]), words)
    statistics, first, last = LABEL_VECTORS[backbone]
    vectors = np.asarray(vectors)
    assert (vectors.mean(), vectors.std(ddof=1)) == pytest.approx(statistics, rel=2e-5)
    np.testing.assert_allclose(vectors[0, :3], first, **AGREEMENT)
    np.testing.assert_allclose(vectors[8, :3], last, **AGREEMENT)
    np.testing.assert_allclose(prediction.logits[:2], LOGITS[backbone], **AGREEMENT)
    np.testing.assert_allclose(prediction.affect, AFFECT[backbone], **AGREEMENT)
    for name, (mean, deviation, *values) in STAGES[backbone].items():
        stage = nchw(stages[name]).astype(np.float64)
        assert stage.mean() == pytest.approx(mean, rel=2e-5, abs=2e-7), name
        assert stage.std(ddof=1) == pytest.approx(deviation, rel=1e-5), name
        np.testing.assert_allclose(stage.flat[:3], values, **AGREEMENT, err_msg=name)


def test_a_densenet_with_112_pixels_pools_what_is_there():
    model = model_of("emotion_gcn", "densenet")
    words = jnp.asarray(golden.word_vectors())
    run = jax.jit(lambda p, x: nnx.merge(model.definitions.network, p)(x, words))
    prediction = run(model.parameters, images(112))
    for ours, expected in zip(prediction, SMALL_DENSENET, strict=True):
        np.testing.assert_allclose(ours[0], expected, **AGREEMENT)


@pytest.mark.parametrize(("heads", "backbone"), BASELINES)
def test_the_baselines(heads, backbone):
    model = model_of(heads, backbone)
    run = jax.jit(lambda p, x: nnx.merge(model.definitions.network, p)(x))
    prediction = run(model.parameters, images(SIZES_PX[backbone]))
    expected = BASELINES[heads, backbone]
    for ours, values in zip(
        [part for part in prediction if part is not None], expected, strict=True
    ):
        np.testing.assert_allclose(ours[0], values, **AGREEMENT)


@pytest.mark.parametrize(("heads", "backbone"), MODELS)
def test_the_twins(heads, backbone):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    twin = filled_twin(model_of(heads, backbone).state_dict, heads, backbone)
    image = torch.tensor(golden.images(SIZES_PX[backbone])[:2])
    words = [torch.tensor(golden.word_vectors())] if heads == "emotion_gcn" else []
    with torch.no_grad():
        result = twin(image, *words)
    if heads == "emotion_gcn":
        expected = (LOGITS[backbone][0], AFFECT[backbone][0])
    else:
        expected = BASELINES[heads, backbone]
    result = result if isinstance(result, tuple) else (result,)
    for theirs, values in zip(result, expected, strict=True):
        np.testing.assert_allclose(theirs[0], values, **AGREEMENT)


def test_a_released_checkpoint_gives_the_golden_outputs_through_load(tmp_path):
    pytest.importorskip("torch", reason="the released files are PyTorch's")
    model = model_of("emotion_gcn", "bregnext")
    folder, out = tmp_path / "released", tmp_path / "model"
    folder.mkdir()
    write_checkpoint(folder / "emotion_gcn.pth", model.state_dict)
    (folder / "word_vectors.pkl").write_bytes(pickle.dumps(golden.word_vectors()))
    description = import_weights(folder, "emotion_gcn", out).description
    # Pictures that the recorded preprocessing makes the golden images of.
    mean, deviation, _ = description.preprocessing.normalisation
    pictures = nhwc(golden.images(112)) * np.float32(deviation) + np.float32(mean)
    answers = tdgan_jax.load(out).recognise(pictures.astype(np.float32))
    # The pictures lose a digit on their way to [0, 1] and back.
    np.testing.assert_allclose(answers.scores[:2], LOGITS["bregnext"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answers.affect, AFFECT["bregnext"], rtol=1e-4, atol=1e-5)
