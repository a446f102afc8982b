"""Measures how hard `synthetic_faces` is: a linear classifier must fail, a small CNN must not.

Run with `python benchmarks/difficulty.py`; prints one JSON object. Both learn
the seven expressions from the split `train` and are tested on `test`, whose people they have
never seen. A dataset on which a linear classifier does well needs no feature learning, and one on
which a small CNN fails would hide the faults of a large network.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from PIL import Image
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tdgan_jax.data_builders.synthetic_faces.workers import draw_split

from tdgan_jax.expressions import BASIC_EXPRESSIONS


class Pictures(NamedTuple):
    """A split in memory."""

    images: np.ndarray  # uint8 [N, 64, 64]
    labels: np.ndarray  # int32 [N], places in BASIC_EXPRESSIONS


def draw_pictures(split: str) -> Pictures:
    """Draws a whole split at 64 pixels.

    Args:
        split: "train", "test" or "faces".

    Returns:
        Its pictures and expression labels.
    """
    images, labels = [], []
    for picture, png in draw_split(split, 64):
        images.append(np.asarray(Image.open(io.BytesIO(png))))
        labels.append(BASIC_EXPRESSIONS.index(picture.expression))
    return Pictures(np.stack(images), np.asarray(labels, np.int32))


def _shrunk(images: np.ndarray, size_px: int) -> np.ndarray:
    """Flat float images in [0, 1] of another size."""
    resized = [
        np.asarray(Image.fromarray(image).resize((size_px, size_px), Image.Resampling.BOX))
        for image in images
    ]
    return np.stack(resized).reshape(len(images), -1) / 255.0


def linear_accuracies(train: Pictures, test: Pictures) -> dict[str, float]:
    """Tests linear classifiers on standardised pixels.

    Args:
        train: what they learn from.
        test: what they are tested on.

    Returns:
        Accuracy by classifier, size and strength of the penalty. The best of them is chosen on
        the test split, which can only make the dataset look easier than it is.
    """
    accuracies = {}
    for size_px in (24, 64):
        inputs, test_inputs = (_shrunk(part.images, size_px) for part in (train, test))
        classifiers: dict[str, RidgeClassifier | LogisticRegression] = {
            f"ridge_{alpha:g}": RidgeClassifier(alpha=alpha) for alpha in (1e2, 1e3, 1e4)
        }
        if size_px == 24:
            for strength in (1e-3, 1e-2):
                classifiers[f"logistic_{strength:g}"] = LogisticRegression(C=strength, max_iter=300)
        for name, classifier in classifiers.items():
            model = make_pipeline(StandardScaler(), classifier).fit(inputs, train.labels)
            accuracy = float(model.score(test_inputs, test.labels))
            accuracies[f"{name}_{size_px}px"] = round(accuracy, 4)
    return accuracies


def _max_pool(inputs: jax.Array) -> jax.Array:
    """2x2 maxima by strided slicing, on the CPU much faster backwards than `reduce_window`."""
    rows = jnp.maximum(inputs[:, ::2], inputs[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


class SmallCNN(nnx.Module):
    """Four 3x3 convolutions with batch norm and pooling, and one linear layer."""

    def __init__(
        self,
        *,
        widths: Sequence[int],
        image_size_px: int = 64,
        dropout_rate: float = 0.3,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
            widths: channels of the convolutions.
            image_size_px: width and height of the input.
            dropout_rate: share of the last features that is dropped in training.
            rngs: for the weights and the dropout.
        """
        inputs = (1, *widths[:-1])
        self.convolutions = nnx.List(
            [
                nnx.Conv(i, o, (3, 3), use_bias=False, rngs=rngs)
                for i, o in zip(inputs, widths, strict=True)
            ]
        )
        self.norms = nnx.List([nnx.BatchNorm(o, momentum=0.9, rngs=rngs) for o in widths])
        self.dropout = nnx.Dropout(dropout_rate, rngs=rngs)
        features = widths[-1] * (image_size_px // 2 ** len(widths)) ** 2
        self.classifier = nnx.Linear(features, len(BASIC_EXPRESSIONS), rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Computes the logits.

        Args:
            images: float32 `[N, H, W, 1]`, standardised each.

        Returns:
            Logits `[N, 7]`.
        """
        features = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            features = _max_pool(convolution(features))  # half the size
            features = nnx.relu(norm(features))
        return self.classifier(self.dropout(features.reshape(len(images), -1)))


def _standardised(images: np.ndarray) -> np.ndarray:
    """uint8 `[N, H, W]` to float32 `[N, H, W, 1]`, mean 0 and deviation 1 in each image."""
    images = images.astype(np.float32)
    mean, deviation = images.mean((1, 2), keepdims=True), images.std((1, 2), keepdims=True)
    return ((images - mean) / (deviation + 1.0))[..., None]


def _augmented(images: np.ndarray, rng: np.random.Generator, *, shift_px: int = 4) -> np.ndarray:
    """Shifts each image a little and mirrors every second one; neither changes an expression."""
    size = images.shape[1]
    padded = np.pad(images, ((0, 0), (shift_px,) * 2, (shift_px,) * 2), mode="edge")
    shifted = np.empty_like(images)
    for number, (row, column) in enumerate(rng.integers(0, 2 * shift_px + 1, (len(images), 2))):
        shifted[number] = padded[number, row : row + size, column : column + size]
    mirrored = rng.random(len(images)) < 0.5
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return shifted


def cnn_predictions(
    train: Pictures,
    test: Pictures,
    *,
    epochs: int = 20,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    widths: Sequence[int] = (16, 32, 64, 96),
    seed: int = 0,
) -> np.ndarray:
    """Trains a small CNN and shows it the test pictures.

    Args:
        train: what it learns from.
        test: what it is shown, once, after the last epoch.
        epochs: passes over `train`.
        batch_size: images a step.
        learning_rate: the highest; it falls to 0 along a cosine.
        widths: channels of the convolutions.
        seed: of the weights, the order and the augmentation.

    Returns:
        int `[N]`, the expression found in each picture of `test`.
    """
    steps_per_epoch = len(train.labels) // batch_size
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, steps_per_epoch, epochs * steps_per_epoch
    )
    model = SmallCNN(widths=widths, rngs=nnx.Rngs(seed))
    graph, parameters, rest = nnx.split(model, nnx.Param, ...)
    optimizer = optax.adamw(schedule, weight_decay=1e-3)
    optimizer_state = optimizer.init(parameters)

    @jax.jit
    def train_step(parameters, rest, optimizer_state, images, labels):
        def loss_of(parameters):
            model = nnx.merge(graph, parameters, rest, copy=True)
            model.train()
            targets = optax.smooth_labels(jax.nn.one_hot(labels, len(BASIC_EXPRESSIONS)), 0.1)
            loss = optax.softmax_cross_entropy(model(images), targets).mean()
            return loss, nnx.state(model, nnx.Not(nnx.Param))

        (loss, rest), gradients = jax.value_and_grad(loss_of, has_aux=True)(parameters)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, parameters)
        return optax.apply_updates(parameters, updates), rest, optimizer_state, loss

    @jax.jit
    def predict(parameters, rest, images):
        model = nnx.merge(graph, parameters, rest, copy=True)
        model.eval()
        return model(images).argmax(-1)

    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    for epoch in range(epochs):
        order, losses = rng.permutation(len(train.labels)), []
        for step in range(steps_per_epoch):
            batch = order[step * batch_size : (step + 1) * batch_size]
            images = _standardised(_augmented(train.images[batch], rng))
            parameters, rest, optimizer_state, loss = train_step(
                parameters, rest, optimizer_state, images, train.labels[batch]
            )
            losses.append(loss)
        seconds = time.perf_counter() - start
        print(
            f"epoch {epoch + 1}/{epochs}: loss {np.mean(losses):.3f}, {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return np.asarray(predict(parameters, rest, _standardised(test.images)))


def main() -> None:
    """Measures and prints one JSON object."""
    parser = argparse.ArgumentParser(description="Measure how hard synthetic_faces is.")
    parser.add_argument("--epochs", type=int, default=20, help="of the CNN (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the CNN (default 0)")
    arguments = parser.parse_args()
    train, test = draw_pictures("train"), draw_pictures("test")
    linear = linear_accuracies(train, test)
    start = time.perf_counter()
    found = cnn_predictions(train, test, epochs=arguments.epochs, seed=arguments.seed)
    seconds = time.perf_counter() - start
    right = found == test.labels
    recall = {
        name: round(float(right[test.labels == label].mean()), 4)
        for label, name in enumerate(BASIC_EXPRESSIONS)
    }
    result = {
        "train_images": len(train.labels),
        "test_images": len(test.labels),
        "linear_accuracy": max(linear.values()),
        "linear_accuracies": linear,
        "cnn_accuracy": round(float(right.mean()), 4),
        "cnn_recall": recall,
        "cnn_epochs": arguments.epochs,
        "cnn_seed": arguments.seed,
        "cnn_train_seconds": round(seconds, 1),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
