"""Word vectors of the labels: out of a GloVe file, out of the released program's file, or our own.

The words are the expressions in the order of a model's logits, then valence and arousal.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.families.emotion_gcn.adjacency import node_names
from tdgan_jax.files import open_file, reason
from tdgan_jax.torch_weights.array_files import read_array
from tdgan_jax.torch_weights.state_files import read_state_dict

# Euclidean length of our own vectors: 300 numbers are then of the size of 0.3.
VECTOR_LENGTH = 5.0
# No line of a GloVe file is nearly as long; what has none of its line ends is no such file.
MAX_LINE_BYTES = 1 << 16

# The usual adjectives where they are more frequent than the nouns (spec Emotion-GCN 2.3).
_WORDS = {"happiness": "happy", "sadness": "sad"}

# Pleasure, arousal and dominance of the state that a word names, in [-1, 1]: means of Table 4 of
# Russell and Mehrabian 1977, "Evidence for a Three-Factor Theory of Emotions", Journal of Research
# in Personality 11, 273-294, for happy, sad, surprised, fearful, disgusted and angry. Neutral is
# the origin; valence and arousal are the ends of their axes.
_POSITIONS = {
    "neutral": (0.0, 0.0, 0.0),
    "happiness": (0.81, 0.51, 0.46),
    "sadness": (-0.63, -0.27, -0.33),
    "surprise": (0.40, 0.67, -0.13),
    "fear": (-0.64, 0.60, -0.43),
    "disgust": (-0.60, 0.35, 0.11),
    "anger": (-0.51, 0.59, 0.25),
    "valence": (1.0, 0.0, 0.0),
    "arousal": (0.0, 1.0, 0.0),
}
# At this distance between two positions the cosine of their vectors is exp(-1/2).
_KERNEL_WIDTH = 0.5


def words_of(expression_names: Sequence[str]) -> tuple[str, ...]:
    """The words of the nodes, as they stand in a file of word vectors."""
    return tuple(_WORDS.get(name, name) for name in node_names(expression_names))


def embedded_word_vectors(expression_names: Sequence[str], *, size: int = 300) -> np.ndarray:
    """Vectors that need no file; they are no GloVe, and know nothing of language.

    Their cosines are those of a Gaussian kernel between the words' positions on the axes of
    pleasure, arousal and dominance, which people have rated: near emotions have near vectors. Each
    is a series of cosines and sines of its position (Rahimi and Recht 2007, "Random Features for
    Large-Scale Kernel Machines"), with frequencies from a fixed sequence instead of random ones.

    Args:
        expression_names: Names of the classes in the order of the logits.
        size: Length of the vectors, even.

    Returns:
        float32 `[nodes, size]`, each of the Euclidean length `VECTOR_LENGTH`.

    Raises:
        UserError: If the position of an expression is not known.
        ValueError: If the size is impossible.
    """
    if size < 2 or size % 2:
        raise ValueError(f"word_vector_size must be even for the embedded vectors, got {size}")
    names = node_names(expression_names)
    unknown = [name for name in names if name not in _POSITIONS]
    if unknown:
        raise UserError(
            f"there are no embedded word vectors for {', '.join(unknown)}; give a GloVe file"
        )
    positions = np.array([_POSITIONS[name] for name in names])
    angles = positions @ _frequencies(size // 2).T / _KERNEL_WIDTH  # [nodes, size / 2]
    series = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return (series * (VECTOR_LENGTH / math.sqrt(size // 2))).astype(np.float32)


def _frequencies(count: int) -> np.ndarray:
    """Evenly spread draws of a standard normal distribution, `[count, 3]`.

    An additive sequence with powers of the root of x^4 = x + 1 (M. Roberts 2018, "The Unreasonable
    Effectiveness of Quasirandom Sequences"), mapped by the inverse of the distribution: the same
    with every version of NumPy.
    """
    root = 1.2207440846057596
    steps = [root**-1, root**-2, root**-3]
    normal = NormalDist()
    return np.array(
        [[normal.inv_cdf((0.5 + i * step) % 1.0) for step in steps] for i in range(1, count + 1)]
    )


def random_word_vectors(num_nodes: int, *, size: int = 300, seed: int = 0) -> np.ndarray:
    """Vectors without any meaning, for the comparison: of independent directions.

    Args:
        num_nodes: Number of labels.
        size: Length of the vectors.
        seed: Decides the directions.

    Returns:
        float32 `[num_nodes, size]`, each of the Euclidean length `VECTOR_LENGTH`.
    """
    vectors = np.random.default_rng(seed).normal(size=(num_nodes, size))
    vectors *= VECTOR_LENGTH / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def read_glove(path: Path, words: Sequence[str], *, size: int = 300) -> np.ndarray:
    """Reads the vectors of a few words from a GloVe text file, line by line.

    Args:
        path: The file: a word and `size` numbers a line, with spaces between them.
        words: Of the nodes, see `words_of`.
        size: Numbers of a word.

    Returns:
        float32 `[words, size]`, as they stand in the file.

    Raises:
        UserError: If the file cannot be read or is no GloVe file of this dimension, a line is
            truncated, or a word does not occur; says which.
    """
    wanted = {word.encode(): word for word in words}
    found: dict[str, np.ndarray] = {}
    try:
        with open_file(path) as file:
            number = 0
            while len(found) < len(wanted) and (line := file.readline(MAX_LINE_BYTES)):
                number += 1
                _check_line(path, number, line, size)
                word = wanted.get(line.partition(b" ")[0])
                if word is not None and word not in found:
                    found[word] = _vector(path, number, line, size)
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    missing = [word for word in words if word not in found]
    if missing:
        raise UserError(f"{path} has no vector of {', '.join(missing)} ({number} lines read)")
    return np.stack([found[word] for word in words])


def _check_line(path: Path, number: int, line: bytes, size: int) -> None:
    """Refuses what cannot be a line of a GloVe file of this dimension.

    A word may hold spaces itself, so that only too few of them are wrong. In the first line that,
    and too many of them, tell the dimension.
    """
    num_values = line.count(b" ") if not line.endswith(b" \n") else line.count(b" ") - 1
    if len(line) >= MAX_LINE_BYTES and not line.endswith(b"\n"):
        raise UserError(f"{path} is no GloVe text file: line {number} does not end")
    if number == 1 and num_values != size:
        if b"\0" in line or line.startswith(b"PK"):
            raise UserError(f"{path} is no text file; unpack the archive and give GloVe's .txt")
        raise UserError(
            f"{path} is no GloVe file of {size} dimensions: its first line holds {num_values} "
            "numbers; give the file of that dimension or change model.word_vector_size"
        )
    if num_values < size:
        raise UserError(
            f"{path} is truncated: line {number} holds {num_values} numbers, not {size}; download "
            "it again"
        )


def _vector(path: Path, number: int, line: bytes, size: int) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # too large for float32: found to be infinite below
            values = np.array([float(value) for value in line.split()[1:]], np.float32)
    except ValueError as error:
        raise UserError(f"{path} is damaged: line {number} does not hold numbers") from error
    if values.shape != (size,) or not np.isfinite(values).all():
        raise UserError(f"{path} is damaged: line {number} does not hold {size} finite numbers")
    return values


def read_released_word_vectors(path: Path, *, num_nodes: int) -> np.ndarray:
    """Reads the file that the released program takes as `--emb`.

    It may be a tensor that PyTorch saved, or a pickled array of NumPy. The rows bear no names: they
    must be in the order of the nodes.

    Args:
        path: The file.
        num_nodes: Expressions plus 2.

    Returns:
        float32 `[num_nodes, size]`.

    Raises:
        UserError: If the file cannot be read safely, is damaged, holds anything else, or has
            another number of rows.
    """
    values = read_array(path)
    if values.ndim != 2 or values.shape[0] != num_nodes or not values.shape[1]:
        raise UserError(
            f"{path} holds an array of the shape {values.shape}; {num_nodes} rows, one for each "
            "expression, valence and arousal, are needed"
        )
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise UserError(f"{path} holds values that are no finite numbers")
    return values.astype(np.float32)


def read_imported_word_vectors(path: Path) -> dict[str, np.ndarray]:
    """Reads the word vectors of an import: an export's own file, or that of `--emb`.

    Returns:
        A state dict, `{"vectors": [labels, size]}`.

    Raises:
        UserError: If it is neither.
    """
    try:
        return read_state_dict(path)
    except UserError:
        values = read_array(path)
    if values.ndim != 2 or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise UserError(f"{path} holds no array of word vectors, one in each row")
    return {"vectors": values.astype(np.float32)}
