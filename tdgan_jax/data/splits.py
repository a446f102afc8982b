"""Divides training examples into a part to fit and a part to choose the model by."""

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from tdgan_jax.data.examples import Examples
from tdgan_jax.errors import UsageError


def validation_split(
    examples: Examples, *, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a validation part out of training examples, whole groups at a time.

    Groups are subjects, or identical pictures where subjects are unknown. The classes keep their
    shares as far as the groups allow (scikit-learn's `StratifiedGroupKFold`).

    Args:
        examples: Examples with known expressions.
        fraction: Share of the validation part, in (0, 0.5]; the nearest 1/n is taken.
        seed: Seed of the division; it does not follow the seed of a training, so that several
            trainings are compared on the same part.

    Returns:
        Positions of the examples to fit and of those to validate on.

    Raises:
        UsageError: If the fraction is out of range or there are too few groups.
    """
    if not 0 < fraction <= 0.5:
        raise UsageError(f"data.validation_fraction must be in (0, 0.5], got {fraction}")
    parts = round(1 / fraction)
    num_groups = len(np.unique(examples.groups))
    if num_groups < parts:
        raise UsageError(
            f"data.validation_fraction={fraction} needs {parts} subjects, "
            f"the training split has {num_groups}"
        )
    splitter = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
    fit, validation = next(
        splitter.split(np.zeros(len(examples.groups)), examples.expressions, examples.groups)
    )
    return fit, validation
