"""Classifiers that judge generated faces and had no part in their making.

Images are float32 `[N, S, S, C]` in [0, 1].
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tdgan_jax.errors import UserError
from tdgan_jax.exchange.selected_runs import SelectedRun
from tdgan_jax.probing.transfer_quality import Judge

BATCH_SIZE = 64
NUM_CELLS = 8  # along each side of an image
NUM_DIRECTIONS = 9
THUMBNAIL_PX = 16
MAX_COMPONENTS = 300
SHRINKAGE = 0.1
INVERSE_STRENGTH = 0.01
IMAGES_AT_A_TIME = 512  # bounds the memory


def expression_judge(run: SelectedRun, expression_names: Sequence[str]) -> Judge:
    """A trained run's first recogniser.

    Args:
        run: Best one of the family `classifier`, of a seed that no judged run has.
        expression_names: Names of the expressions in the order of the labels.

    Raises:
        UserError: If the run does not know one of them.
    """
    unknown = [name for name in expression_names if name not in run.expression_names]
    if unknown:
        raise UserError(
            f"the expression judge does not know {', '.join(unknown)}; its classes are "
            f"{', '.join(run.expression_names)}"
        )
    columns = [run.expression_names.index(name) for name in expression_names]
    recogniser = run.program.training.recognisers[0]

    def judge(images: np.ndarray) -> np.ndarray:
        answers = []
        for start in range(0, len(images), BATCH_SIZE):
            batch = images[start : start + BATCH_SIZE]
            padding = np.repeat(batch[:1], BATCH_SIZE - len(batch), axis=0)
            given = run.program.eval_step(run.parameters, np.concatenate([batch, padding]))
            scores = np.asarray(given[recogniser].scores)[: len(batch), columns]
            answers.append(scores.argmax(axis=1))
        return np.concatenate(answers)

    return judge


def identity_judge(
    background_images: np.ndarray,
    background_identities: np.ndarray,
    known_images: np.ndarray,
    known_identities: np.ndarray,
) -> Judge:
    """Names people by gradients and gray values, in the directions in which people differ.

    Histograms of oriented gradients (Dalal and Triggs 2005) and a thumbnail are projected by
    linear discriminant analysis of other people ("Fisherfaces", Belhumeur et al. 1997), which
    learns what varies between people and what within one; logistic regression then names the
    known ones.

    Args:
        background_images: Images of many people, several of each.
        background_identities: int `[N]`, who they are.
        known_images: Images of the people to be named.
        known_identities: int `[M]`, the numbers that the judge answers with.
    """
    people, counts = np.unique(background_identities, return_counts=True)
    # A single picture of a person does not show what varies within one.
    several = np.isin(background_identities, people[counts > 1])
    features = face_description(background_images[several])
    describe = make_pipeline(
        StandardScaler(),
        PCA(min(MAX_COMPONENTS, *features.shape), random_state=0),
        LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE),
    ).fit(features, background_identities[several])
    name = LogisticRegression(C=INVERSE_STRENGTH, max_iter=1000).fit(
        describe.transform(face_description(known_images)), known_identities
    )
    return lambda images: name.predict(describe.transform(face_description(images)))


def face_description(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients of 8x8 cells and a 16x16 thumbnail, float32 `[N, 832]`."""
    parts = [
        _described(images[start : start + IMAGES_AT_A_TIME].mean(axis=-1))
        for start in range(0, len(images), IMAGES_AT_A_TIME)
    ]
    return np.concatenate(parts)


def _described(gray: np.ndarray) -> np.ndarray:
    count, size = gray.shape[:2]
    cell = size // NUM_CELLS
    gray = gray[:, : cell * NUM_CELLS, : cell * NUM_CELLS]
    down, right = np.gradient(gray, axis=(1, 2))
    strength = np.hypot(right, down)
    direction = (np.arctan2(down, right) % np.pi) / np.pi * NUM_DIRECTIONS
    lower = np.floor(direction).astype(int) % NUM_DIRECTIONS
    share = direction - np.floor(direction)
    histograms = np.empty((count, NUM_CELLS, NUM_CELLS, NUM_DIRECTIONS), np.float32)
    for column in range(NUM_DIRECTIONS):
        # Each pixel votes for the two directions nearest to its own.
        votes = strength * (
            (lower == column) * (1 - share) + ((lower + 1) % NUM_DIRECTIONS == column) * share
        )
        cells = votes.reshape(count, NUM_CELLS, cell, NUM_CELLS, cell)
        histograms[..., column] = cells.sum(axis=(2, 4))
    histograms /= np.linalg.norm(histograms, axis=-1, keepdims=True) + 0.1
    thumbnails = np.stack([_thumbnail(image) for image in gray])
    return np.concatenate([histograms.reshape(count, -1), thumbnails.reshape(count, -1)], axis=1)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(np.rint(image * 255).astype(np.uint8))
    small = picture.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32) / 255
