"""Batches for training in an order of their own, padded batches for evaluation.

Each family has a feed of its own; `Feed` is what the loop asks of it. The position of a run is
`(epoch, step)`: order, pairing and augmentation are pure functions of the seed, the epoch and the
index of the example, so that a resumed run sees what it would have seen.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tdgan_jax.data.examples import Examples
from tdgan_jax.data.padding import padded_rows

ALL_ROWS = slice(None)


class Feed(Protocol):
    """Source of a run's training batches."""

    @property
    def expressions(self) -> Examples:
        """The images whose expressions are learned."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples in a batch."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        ...

    @property
    def identity_names(self) -> tuple[str, ...]:
        """Names of the identities of the face branch; empty without one."""
        ...

    @property
    def contents(self) -> str:
        """What it holds, in words."""
        ...

    @property
    def other_parts(self) -> dict[str, Examples]:
        """Examples besides the training's, by name; they belong to the run's fingerprint."""
        ...

    @property
    def checksum(self) -> str:
        """Of what it has computed from pictures, for the fingerprint; empty if that is nothing."""
        ...

    def save(self, folder: Path) -> None:
        """Writes into a run folder what need not be computed again."""
        ...

    def pictures(self) -> dict[str, tuple[Sequence[np.ndarray], Sequence[str]]]:
        """Pictures for the report: name to tiles float32 `[1, H, W, C]` and their titles."""
        ...

    def batches(self, epoch: int, first_step: int = 0, rows: slice = ALL_ROWS) -> Iterator[Any]:
        """The batches of an epoch from a step on, named tuples of arrays.

        Of the N rows of a batch only those of `rows` are made: one process's part. Images of the
        others are not read.
        """
        ...


def num_batches(num_examples: int, batch_size: int, *, pad_last_batch: bool) -> int:
    """Batches in an epoch of so many examples."""
    full, rest = divmod(num_examples, batch_size)
    return full + bool(rest and pad_last_batch)


def shuffled_batches(
    assemble: Callable[[np.ndarray], Any],
    *,
    num_examples: int,
    batch_size: int,
    pad_last_batch: bool,
    seed: int,
    epoch: int,
    first_step: int,
    num_workers: int,
) -> Iterator[Any]:
    """The batches of one epoch from a step on, made some in advance.

    Args:
        assemble: Makes a batch from the indices of its examples; the last one may have fewer.
        num_examples: Examples in an epoch.
        batch_size: N.
        pad_last_batch: Keeps the last, partial batch.
        seed: With the epoch, of the order.
        epoch: Epoch, from 0.
        first_step: Batches to leave out.
        num_workers: Worker processes; 0: threads of this process.
    """
    import grain  # half a second, which those who train nothing are spared

    shuffle_seed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    batches = (
        grain.MapDataset.range(num_examples)
        .shuffle(seed=shuffle_seed)
        .batch(batch_size, drop_remainder=not pad_last_batch)
        .map(assemble)
    )[first_step:]
    # Some batches ahead: enough to hide a slow one, few enough for memory.
    stream = batches.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=8))
    if num_workers:
        stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_workers))
    return iter(stream)


def evaluation_batches(
    examples: Examples, batch_size: int, rows: slice = ALL_ROWS
) -> Iterator[tuple[np.ndarray, int]]:
    """Every example exactly once, in order, the last batch padded.

    Args:
        examples: Examples whose images have all the same shape.
        batch_size: N.
        rows: The rows of each batch to make.

    Yields:
        Images uint8 `[N, S, S, C]`, of the rows alone, and how many of all N count; the rest is
        padding.
    """
    for start in range(0, len(examples.files), batch_size):
        present = np.arange(start, min(start + batch_size, len(examples.files)))
        own = padded_rows(present, batch_size)[rows]
        yield np.stack([examples.images[int(i)] for i in own]), len(present)
