"""What chooses the parameters that are kept, and where the stages of a training begin."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from tdgan_jax.errors import UsageError
from tdgan_jax.families.family import Stage

# Figures that may choose an epoch; "ccc" is the mean of valence and arousal.
SCORES = ("accuracy", "mean_class_accuracy", "macro_f1", "ccc")


def selection_score(
    figures: Mapping[str, Mapping[str, Any]], *, chooser: str, selected_by: str
) -> float:
    """The figure that an epoch is chosen by; the larger the better.

    Args:
        figures: Recogniser to figures.
        chooser: The recogniser that chooses.
        selected_by: One of `SCORES`.

    Returns:
        The figure; -1 where it is not defined.

    Raises:
        UsageError: If "ccc" shall choose and the recogniser does not know valence and arousal.
    """
    if selected_by != "ccc":
        return figures[chooser].get(selected_by, -1.0)
    if (affect := figures[chooser].get("affect")) is None:
        raise UsageError(
            f"evaluation.selected_by=ccc needs a recogniser of valence and arousal, and {chooser} "
            "is none; take accuracy, mean_class_accuracy or macro_f1"
        )
    values = [of_one["ccc"] for of_one in affect.values() if of_one["ccc"] is not None]
    return sum(values) / len(values) if values else -1.0


def stage_starts(stages: Sequence[Stage]) -> tuple[int, ...]:
    """The epochs with which the stages begin."""
    return (0, *accumulate(stage.epochs for stage in stages[:-1]))


def stage_of(stages: Sequence[Stage], epoch: int) -> int:
    """The number of the stage that an epoch belongs to."""
    return sum(start <= epoch for start in stage_starts(stages)) - 1


def starts_stage(stages: Sequence[Stage], epoch: int) -> bool:
    """Whether a stage begins with an epoch."""
    return epoch in stage_starts(stages)


def is_of_earlier_stage(stages: Sequence[Stage], epoch: int, now: int) -> bool:
    """Whether an epoch belongs to a stage before that of another one."""
    return bool(stages) and stage_of(stages, epoch) < stage_of(stages, now)


def stage_slot(stage: int) -> str:
    """The name under which the best parameters of a stage are kept."""
    return f"stage_{stage}"
