"""How reports call what the systems record: recognisers and groups of losses."""

from functools import cache

from tdgan_jax.families.known import NAMES, family_named

OTHER_LOSSES = "Generator terms"


@cache
def _merged(field: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    for name in NAMES:
        entries |= getattr(family_named(name), field)
    return entries


def recogniser_title(name: str) -> str:
    """The name of a recogniser as a report writes it."""
    return _merged("titles").get(name, name.replace("_", " ").capitalize())


def loss_title(name: str) -> str:
    """The group of losses that a name of `metrics.jsonl` belongs to: the longest fitting prefix."""
    groups = _merged("loss_groups")
    fitting = [prefix for prefix in groups if name.startswith(prefix)]
    return groups[max(fitting, key=len)] if fitting else OTHER_LOSSES


def loss_titles() -> tuple[str, ...]:
    """All groups of losses, in the order of the systems."""
    return tuple(dict.fromkeys((*_merged("loss_groups").values(), OTHER_LOSSES)))
