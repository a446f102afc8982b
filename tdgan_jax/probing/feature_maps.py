"""Feature spaces in two dimensions, and the answers that a model was surest of and got wrong."""

from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

MAX_POINTS = 1000  # of a map: more would not be told apart on a phone
PERPLEXITY = 30.0
PRINCIPAL_COMPONENTS = 50


class ConfidentError(NamedTuple):
    """An answer that was wrong.

    Attributes:
        position: Of the example.
        answer: The class that was answered.
        truth: The class that it has.
        confidence: Probability of the answer.
    """

    position: int
    answer: int
    truth: int
    confidence: float


def spread_positions(count: int, limit: int = MAX_POINTS) -> np.ndarray:
    """Evenly spaced positions among `count`, at most `limit` of them."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))


def feature_map(features: np.ndarray) -> np.ndarray:
    """Places examples in the plane so that neighbours stay neighbours.

    t-SNE (van der Maaten and Hinton 2008) with a fixed seed, of the leading principal components of
    the standardised features; with fewer examples than it can handle, the first two components.
    Distances between far groups and the sizes of groups mean nothing.

    Args:
        features: `[N, D]`.

    Returns:
        float `[N, 2]`, in units of the largest coordinate.
    """
    deviation = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    count = min(PRINCIPAL_COMPONENTS, *scaled.shape)
    components = PCA(n_components=count, random_state=0).fit_transform(scaled)
    if len(features) > 3 * PERPLEXITY:
        tsne = TSNE(perplexity=PERPLEXITY, init="pca", random_state=0)
        components = tsne.fit_transform(components)
    places = np.zeros((len(features), 2))
    places[:, : components.shape[1]] = components[:, :2]
    return places / max(float(np.abs(places).max()), 1e-12)


def confident_errors(
    labels: np.ndarray, probabilities: np.ndarray, limit: int
) -> list[ConfidentError]:
    """The wrong answers with the highest probability, the surest first.

    Args:
        labels: int `[N]`.
        probabilities: float `[N, C]`.
        limit: At most so many.
    """
    answers = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
    return [
        ConfidentError(int(i), int(answers[i]), int(labels[i]), float(confidence[i]))
        for i in surest
    ]
