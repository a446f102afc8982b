"""The fields of a configuration: those of its system, younger ones, unknown ones."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config, flatten, to_json
from tdgan_jax.errors import UserError
from tdgan_jax.families.known import NAMES, family_named
from tdgan_jax.families.loop_fields import SHARED_LIMITS
from tdgan_jax.printing import printable

MAX_TEXT_CHARACTERS = 4096
MAX_NAME_BYTES = 200  # of a folder; file systems take 255


def new_config(family: str) -> Config:
    """A configuration of a system with the values that its fields have where nothing else is said.

    Raises:
        UserError: If the system is unknown.
    """
    config = family_named(family).fields()
    config.family = family
    return config


def default_fields(family: object) -> dict[str, Any]:
    """The fields of a system where no configuration says otherwise; empty for an unknown one."""
    return to_json(new_config(str(family))) if family in NAMES else {}


def as_of_today(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration with the fields that are younger than it, without retired ones.

    The program behaved as their system's default says before there were such fields; what a
    configuration file makes of them today came later. Fields that are unknown today stay.
    """
    family = stored.get("family")
    retired = family_named(family).retired if family in NAMES else ()
    return _filled(_without(stored, retired), default_fields(family))


def _without(given: Mapping[str, Any], retired: Sequence[str], section: str = "") -> dict[str, Any]:
    kept = {}
    for name, value in given.items():
        if f"{section}{name}" not in retired:
            nested = isinstance(value, Mapping)
            kept[name] = _without(value, retired, f"{section}{name}.") if nested else value
    return kept


def _filled(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    filled = {**defaults, **given}
    for name, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(given.get(name), Mapping):
            filled[name] = _filled(given[name], default)
    return filled


def impossible_value(config: Mapping[str, Any]) -> str:
    """What is wrong with the first field that no run can have, or an empty text.

    Args:
        config: A whole configuration or a part of one, of a known system.

    Returns:
        The field, what it must be and what it is.
    """
    family = config.get("family")
    if family not in NAMES:
        return ""
    limits = {**SHARED_LIMITS, **family_named(family).limits}
    defaults = flatten(default_fields(family))
    for field, value in flatten(config).items():
        if field in defaults and not _is_alike(value, defaults[field]):
            return f"{field} is {_named_type(defaults[field])}, got {value!r}"
        if isinstance(value, str) and (wrong := _wrong_text(field, value)):
            return wrong
        numbers = value if isinstance(value, list | tuple) else (value,)
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            return f"{field} must be finite, got {value}"
        low, high = limits.get(field, (-math.inf, math.inf))
        if isinstance(value, int | float) and not low <= value <= high:
            given = value if abs(value) < 1e30 else "more digits than that"
            if value > high:
                return f"{field} must be at most {high}, got {given}"
            least = f"be at least {low:g}" if low else "not be negative"
            return f"{field} must {least}, got {given}"
    return ""


def _wrong_text(field: str, value: str) -> str:
    """What is wrong with a text; the configuration's name becomes that of a folder."""
    if len(value) > MAX_TEXT_CHARACTERS:
        return f"{field} has {len(value)} characters, more than {MAX_TEXT_CHARACTERS}"
    if (shown := printable(value)) != value:
        return f"{field} has control characters: {shown}"
    is_long = len(value.encode(errors="replace")) > MAX_NAME_BYTES
    if field == "name" and value and (is_long or not value.strip(". ") or set(value) & set("/\\")):
        return f"name must be that of a folder, got {value[:MAX_NAME_BYTES]!r}"
    return ""


def _named_type(default: Any) -> str:
    if isinstance(default, list | tuple) and default:
        return f"a list of {type(default[0]).__name__}"
    return f"a {type(default).__name__}"


def _is_alike(value: Any, default: Any) -> bool:
    """Whether it has the type of the default; JSON has one kind of list, and whole numbers too.

    The entries of a list have the type of the default's first one; sections are read elsewhere.
    """
    if isinstance(default, bool) or isinstance(value, bool):
        return type(value) is type(default)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list | tuple):
        if not isinstance(value, list | tuple):
            return False
        of_sections = not default or isinstance(default[0], Mapping | ConfigDict)
        return of_sections or all(_is_alike(entry, default[0]) for entry in value)
    return isinstance(value, type(default))


def check_known_fields(stored: Mapping[str, Any], path: Path) -> None:
    """Refuses to read a run whose configuration says more than today's program understands.

    Args:
        stored: A configuration.
        path: Its file, for the message.

    Raises:
        UserError: Names the fields that are unknown today, or one whose value no run can have.
    """
    if unknown := unknown_fields(stored):
        raise UserError(
            f"{path} has {', '.join(unknown)}, which this version does not know; use the "
            "one that trained it"
        )
    if wrong := impossible_value(stored):
        raise UserError(f"{path} is damaged: {wrong}")


def unknown_fields(given: Mapping[str, Any]) -> list[str]:
    """The fields of a configuration that its system does not have."""
    known = flatten(default_fields(given.get("family")))
    return sorted(flatten(given).keys() - known.keys()) if known else []
