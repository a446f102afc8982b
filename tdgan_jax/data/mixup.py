"""Mixup of a batch: images and label distributions, each with those of a partner.

What is drawn depends on seed, epoch and step alone and covers the whole batch, so that a process
that makes a part of the rows, and their partners, makes what one process alone would.
"""

from typing import NamedTuple

import numpy as np

from tdgan_jax.data.augmentation import Mixup

# Tells the draws of a batch from those of an example with the same number.
SPAWN_KEY = (1,)


class MixupDraw(NamedTuple):
    """Who is mixed with whom in a batch.

    Attributes:
        partners: int64 `[N]`, positions in the batch.
        share: float32 `[N]`, what remains of an example itself, 0 to 1; 1: it is not mixed.
    """

    partners: np.ndarray
    share: np.ndarray


def draw_mixup(
    mixup: Mixup, *, seed: int, epoch: int, step: int, batch_size: int, num_present: int
) -> MixupDraw:
    """Draws partners and shares of a batch.

    Args:
        mixup: Its settings.
        seed: The run's.
        epoch: From 0.
        step: In the epoch, from 0.
        batch_size: N.
        num_present: Examples at the batch's beginning; the padding after them stays as it is and
            is nobody's partner.
    """
    sequence = np.random.SeedSequence([seed, epoch, step], spawn_key=SPAWN_KEY)
    generator = np.random.default_rng(sequence)
    partners = np.arange(batch_size)
    partners[:num_present] = generator.permutation(num_present)
    share = generator.beta(mixup.alpha, mixup.alpha, batch_size).astype(np.float32)
    is_left = generator.random(batch_size) >= mixup.probability
    is_left[num_present:] = True
    return MixupDraw(partners, np.where(is_left, np.float32(1), share))


def mixed(own: np.ndarray, partners: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Examples mixed with their partners: `share * own + (1 - share) * partners`.

    Args:
        own: `[N, ...]`, images or label distributions.
        partners: The same of the partners.
        share: float32 `[N]`.

    Returns:
        `[N, ...]` of the same type; what is uint8 is rounded.
    """
    weight = share.reshape(-1, *(1,) * (own.ndim - 1))
    values = weight * own.astype(np.float32) + (1 - weight) * partners.astype(np.float32)
    return (np.rint(values) if own.dtype == np.uint8 else values).astype(own.dtype)
