"""From raters' votes to labels: the rules of FER+ (Barsoum et al. 2016), with their thresholds.

Votes are float `[N, C]`, one column an expression, as they were given; `other` is float `[N, K]`,
the votes for what is none of these (unknown, not a face), or None where nobody could vote so. A
distribution is float32 `[N, C]`: every row sums to 1, or is zero where the example is left out.
"""

import numpy as np

from tdgan_jax.data.label_columns import UNLABELLED

MAJORITY_SHARE = 0.5
"""More of the votes than this must be for what is taken, or the example is left out."""

TOP_SHARE = 0.75
"""The leading expressions are taken until they hold this share of the votes."""

MOST_TOP = 3
"""More leading expressions than these say nothing: the example is left out."""

MULTI_SHARE = 0.3
"""An expression with at least this share of the votes is one of several targets."""


def without_single_votes(votes: np.ndarray) -> np.ndarray:
    """Votes with those expressions at 0 that one rater alone saw.

    Args:
        votes: Float `[N, C]`.

    Returns:
        Float32 `[N, C]`.
    """
    return np.where(votes > 1, votes, 0).astype(np.float32)


def majority_labels(votes: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """The expression that most raters saw.

    Single votes do not count. Of what remains more than half must be for the expression.

    Args:
        votes: Float `[N, C]`.
        other: Float `[N, K]`, or None.

    Returns:
        Int32 `[N]`, -1 where no expression has the majority.
    """
    counted, num_expressions = _counted(votes, other), votes.shape[1]
    largest = counted.argmax(axis=1)
    has_majority = counted.max(axis=1) > MAJORITY_SHARE * counted.sum(axis=1)
    kept = has_majority & (largest < num_expressions)
    return np.where(kept, largest, UNLABELLED).astype(np.int32)


def vote_distributions(
    votes: np.ndarray, other: np.ndarray | None = None, *, drop_single_votes: bool = True
) -> np.ndarray:
    """The votes for expressions as shares.

    An example is left out where more raters saw none of the expressions than saw any one of them.

    Args:
        votes: Float `[N, C]`.
        other: Float `[N, K]`, or None.
        drop_single_votes: Whether single votes count as none.

    Returns:
        Distributions, float32 `[N, C]`.
    """
    counted = _counted(votes, other, drop_single_votes=drop_single_votes)
    expressions, none = np.split(counted, [votes.shape[1]], axis=1)
    return _shares(expressions, none.sum(axis=1) <= expressions.max(axis=1))


def top_distributions(votes: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """The shares of the leading expressions: targets of FER+'s cross-entropy and probability.

    Single votes do not count. From the most frequent vote on, all of equal number at once,
    expressions are taken until they hold three quarters of the votes or there are three of them;
    where a vote for no expression comes next, nothing more is taken. An example is left out where
    what was taken is at most half of the votes, more than three expressions, or none.

    Args:
        votes: Float `[N, C]`.
        other: Float `[N, K]`, or None.

    Returns:
        Distributions, float32 `[N, C]`.
    """
    counted, num_expressions = _counted(votes, other), votes.shape[1]
    all_votes = counted.sum(axis=1)
    remaining, taken = counted.copy(), np.zeros(votes.shape, bool)
    held, goes_on = np.zeros(votes.shape, np.float32), np.ones(len(votes), bool)
    for _ in range(MOST_TOP):
        largest = remaining.max(axis=1, keepdims=True)
        leading = (remaining == largest) & (largest > 0) & goes_on[:, None]
        taken |= leading[:, :num_expressions]
        held = np.where(taken, counted[:, :num_expressions], 0)
        goes_on &= ~leading[:, num_expressions:].any(axis=1)
        goes_on &= (held.sum(axis=1) < TOP_SHARE * all_votes) & (taken.sum(axis=1) < MOST_TOP)
        remaining[leading] = 0
    enough = held.sum(axis=1) > MAJORITY_SHARE * all_votes
    return _shares(held, enough & (taken.sum(axis=1) <= MOST_TOP))


def multi_targets(votes: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """Equal shares for all expressions that many raters saw: FER+'s multi-target.

    Single votes do not count. An expression is a target with at least 30 % of the votes; an
    example is left out where its targets hold at most half of them.

    Args:
        votes: Float `[N, C]`.
        other: Float `[N, K]`, or None.

    Returns:
        Distributions, float32 `[N, C]`, equal for all targets of a row.
    """
    counted = _counted(votes, other)
    all_votes = counted.sum(axis=1, keepdims=True)
    frequent = (counted >= MULTI_SHARE * all_votes) & (counted > 0)
    targets = frequent[:, : votes.shape[1]]
    held = np.where(targets, counted[:, : votes.shape[1]], 0).sum(axis=1)
    return _shares(targets.astype(np.float32), held > MAJORITY_SHARE * all_votes[:, 0])


def drawn_labels(distributions: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """One expression an example, as likely as its share: FER+'s probability mode, once an epoch.

    Args:
        distributions: Float `[N, C]`, as `top_distributions` gives them.
        draws: Float `[N]`, uniform in [0, 1).

    Returns:
        Int32 `[N]`, -1 for examples that are left out.
    """
    ends = np.cumsum(distributions, axis=1, dtype=np.float64)
    # The last end becomes exactly 1, above every draw; what has no share is never drawn.
    drawn = (draws[:, None] >= ends / np.maximum(ends[:, -1:], 1e-12)).sum(axis=1)
    return np.where(ends[:, -1] > 0, drawn, UNLABELLED).astype(np.int32)


def _counted(
    votes: np.ndarray, other: np.ndarray | None, *, drop_single_votes: bool = True
) -> np.ndarray:
    """All votes side by side, those for expressions first."""
    every = votes if other is None else np.concatenate([votes, other], axis=1)
    return without_single_votes(every) if drop_single_votes else every.astype(np.float32)


def _shares(votes: np.ndarray, kept: np.ndarray) -> np.ndarray:
    sums = votes.sum(axis=1, keepdims=True)
    kept_rows = kept[:, None] & (sums > 0)
    return np.where(kept_rows, votes / np.maximum(sums, 1e-12), 0).astype(np.float32)
