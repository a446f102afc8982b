"""What is checked before and during a run, so that a mistake costs a line and not a day."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from tdgan_jax.configuration import (
    Config,
    differences,
    flatten,
    to_json,
)
from tdgan_jax.data.splits import check_protocol
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.fields import as_of_today, impossible_value, unknown_fields
from tdgan_jax.networks.execution import PRECISIONS
from tdgan_jax.processes.membership import several
from tdgan_jax.runs.folder import CONFIG_FILE
from tdgan_jax.runs.small_files import damage, read_small_file
from tdgan_jax.steps.parallel import MAPPINGS
from tdgan_jax.training.selection import SCORES

SELECTIONS = ("validation", "test", "last")
# What a checkpoint remembers of the data that it was trained on.
DATA_FIELDS = ("expression_names", "identity_names", "crop", "data_fingerprint")
# What the checkpoints of all versions remember of how far the run is.
PROGRESS_FIELDS = ("step", "seconds", "expression_names", "by_selection")
# Where a run is computed, not what: it may go on with others.
MAY_DIFFER_ON_RESUMING = (
    "data.memory_limit_bytes",
    "data.num_workers",
    "parallel.devices_per_process",
    "parallel.heartbeat_timeout_s",
    "parallel.initialization_timeout_s",
    "parallel.rematerialise",
)


def check_same_config(config: Config, workdir: Path) -> None:
    """Refuses to resume a run with another configuration.

    Fields that are younger than the run count as set to their defaults.

    Raises:
        UsageError: If the folder holds a run of a different configuration; lists the fields, of
            another system its name alone.
    """
    if not (workdir / CONFIG_FILE).exists():
        return
    stored = flatten(as_of_today(read_small_file(workdir / CONFIG_FILE, "config")))
    given = flatten(to_json(config))
    for field in MAY_DIFFER_ON_RESUMING:
        stored.pop(field, None)
        given.pop(field, None)
    if stored.get("family") != given["family"]:
        stored, given = {"family": stored.get("family")}, {"family": given["family"]}
    if changed := differences(stored, given):
        lines = "\n  ".join(changed)
        raise UsageError(
            f"{workdir} holds a run of another configuration (stored -> given):\n  {lines}\n"
            "give another --workdir or the same fields; nothing was changed"
        )


def check_values(config: Config) -> None:
    """Refuses values that no run can have, before anything is written.

    Raises:
        UsageError: If a field is out of range; the message names it.
    """
    if unknown := unknown_fields(to_json(config)):
        raise UsageError(
            f"the configuration has {', '.join(unknown)}, which nothing reads; look for a "
            "misspelled name"
        )
    fields = flatten(config)
    for field, known in (
        ("evaluation.selection", SELECTIONS),
        ("evaluation.selected_by", SCORES),
        ("parallel.mapping", MAPPINGS),
        ("precision", PRECISIONS),
        ("model.image_channels", (1, 3)),
    ):
        value = fields[field]
        if value not in known:
            raise UsageError(f"{field} is {value!r}; known: {', '.join(map(str, known))}")
    if wrong := impossible_value(config):
        raise UsageError(wrong)
    if several() and config.parallel.mapping == "pmap":
        raise UsageError("parallel.mapping is 'pmap', which is for one process; take 'shard_map'")
    check_protocol(config)


def check_finite(parameters: Any, step: int) -> None:
    """Stops before parameters that are not finite are evaluated or saved.

    Raises:
        UserError: If any of them is not finite.
    """
    if not bool(_all_finite(parameters)):
        raise UserError(
            f"step {step}: the parameters are no longer finite; the last checkpoint is from "
            "before. Lower the learning rates"
        )


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def check_progress(stored: dict[str, Any]) -> None:
    """Refuses to resume from a checkpoint that does not remember how far it is.

    Raises:
        UserError: Names what it lacks.
    """
    if lost := [field for field in PROGRESS_FIELDS if field not in stored]:
        raise UserError(
            f"the checkpoint is damaged: its progress lacks {', '.join(lost)}; nothing was changed"
        )
    if wrong := damage(stored, "progress"):
        raise UserError(f"the checkpoint is damaged: its progress: {wrong}; nothing was changed")


def check_same_data(stored: dict[str, Any], current: dict[str, Any]) -> None:
    """Refuses to resume on other data: today's test subjects may be those who trained before.

    Args:
        stored: What the checkpoint remembers; fields that are younger than it pass.
        current: The `DATA_FIELDS` of what the run reads now.

    Raises:
        UserError: If classes, people, face crops, or the images, labels or subjects of a part
            differ.
    """
    for field in DATA_FIELDS:
        if field not in stored or stored[field] == current[field]:
            continue
        if field == "data_fingerprint":
            raise UserError(
                "the dataset was built anew since the run began: its images, labels or subjects, "
                "or the part of each subject, differ from those of the checkpoint. Start over "
                "with another --workdir"
            )
        raise UserError(
            f"the checkpoint's {field} are not those of the dataset: "
            f"{_difference(stored[field], current[field])}"
        )


def _difference(stored: Any, current: Any) -> str:
    """Short where the names of ten thousand people differ."""
    if not isinstance(stored, list) or not isinstance(current, list):
        return f"{stored}, now {current}"
    place = next(
        (i for i, pair in enumerate(zip(stored, current, strict=False)) if pair[0] != pair[1]),
        min(len(stored), len(current)),
    )
    first = [names[place] if place < len(names) else "nothing" for names in (stored, current)]
    return f"{len(stored)}, now {len(current)}; number {place + 1} was {first[0]}, now {first[1]}"
