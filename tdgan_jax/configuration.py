"""Configurations: loading a file with overrides, comparing, storing.

A configuration is a locked `ml_collections.ConfigDict` from a file's `get_config(variant="")`.
"""

import difflib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ml_collections import ConfigDict

from tdgan_jax.errors import UsageError

# A locked `ConfigDict`; its attributes are whatever the configuration file says.
Config: TypeAlias = Any

LONGEST_SHOWN = 60  # characters of a value in a message


def find_config(path: str) -> Path:
    """Finds a configuration file: as given, or among the packaged ones by its file name.

    Args:
        path: E.g. `configs/tdgan_synthetic.py` or `tdgan_synthetic`.

    Raises:
        UsageError: If there is none; the message names the nearest known one.
    """
    given = Path(path)
    if given.is_file():
        return given
    packaged = _packaged_configs()
    if given.stem in packaged and given.suffix in ("", ".py"):
        return packaged[given.stem]
    near = difflib.get_close_matches(given.stem, packaged, n=1, cutoff=0.0)
    raise UsageError(f"no configuration file {path}; did you mean configs/{near[0]}.py?")


def _packaged_configs() -> dict[str, Path]:
    """Those in `configs/`: inside the package in the wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    folder = package / "configs"
    if not folder.is_dir():
        folder = package.parent / "configs"
    return {
        file.stem: file
        for file in sorted(folder.glob("*.py"))
        if "def get_config(" in file.read_text(encoding="utf-8")
    }


def load_config(argument: str, overrides: Sequence[str] = ()) -> Config:
    """Loads `FILE[:VARIANT]` and applies `section.field=value` overrides.

    Args:
        argument: File and, after a colon, the variant.
        overrides: Values are written as in JSON; text needs no quotes.

    Returns:
        The locked configuration.

    Raises:
        UsageError: If the file, the variant or a field is unknown, or a value has another type
            than the field.
    """
    config = changeable_config(argument).lock()
    for override in overrides:
        _apply(config, override)
    return config


def changeable_config(argument: str) -> Config:
    """The configuration of another file, for one that changes some of it.

    Args:
        argument: `FILE[:VARIANT]`, the file as for `find_config`.

    Raises:
        UsageError: If the file or the variant is unknown.
    """
    name, _, variant = argument.partition(":")
    path = find_config(name)
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise UsageError(f"{path} has no get_config(variant='')")
    return ConfigDict(module.get_config(variant))


def unknown_variant(variant: str, known: Sequence[str]) -> UsageError:
    """The error that a configuration file raises for a variant that it does not have."""
    near = difflib.get_close_matches(variant, known, n=1, cutoff=0.0)
    return UsageError(f"unknown variant {variant!r}; did you mean {near[0]!r}?")


def flatten(config: Config) -> dict[str, Any]:
    """The fields of a nested configuration by dotted name."""
    fields = {}
    for name, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            fields |= {f"{name}.{inner}": field for inner, field in flatten(value).items()}
        else:
            fields[name] = value
    return fields


def _apply(config: Config, override: str) -> None:
    name, separator, text = override.partition("=")
    known = flatten(config)
    if not separator:
        raise UsageError(f"--config.{override} has no value; write --config.{override}=VALUE")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise UsageError(f"unknown config field {name!r}; did you mean {near[0]!r}?")
    old = known[name]
    section, _, field = name.rpartition(".")
    target = config
    for part in section.split(".") if section else ():
        target = target[part]
    target[field] = _typed(name, old, text)


def _typed(name: str, old: Any, text: str) -> Any:
    if isinstance(old, str):
        return text
    try:
        value = json.loads(text.lower() if text.lower() in ("true", "false") else text)
        if isinstance(old, float) and type(value) is int:
            value = float(value)
    except (ValueError, OverflowError, RecursionError):
        value = text
    if isinstance(old, tuple | list) and isinstance(value, list):
        value = type(old)(value)
    if type(value) is not type(old):
        given = repr(text) if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]!r}..."
        raise UsageError(f"config field {name!r} is a {type(old).__name__} ({old!r}), got {given}")
    return value


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values."""
    return json.loads(json.dumps(config.to_dict(), default=_plain))


def _plain(value: Any) -> Any:
    """Configurations inside of lists."""
    if isinstance(value, ConfigDict):
        return value.to_dict()
    raise TypeError(f"{value!r} is no value of a configuration")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lines `field: old -> new` for every field that differs."""
    before, after = flatten(old), flatten(new)
    absent = object()
    return [
        f"{name}: {_shown(before, name)} -> {_shown(after, name)}"
        for name in sorted(before | after)
        if before.get(name, absent) != after.get(name, absent)
    ]


def _shown(fields: Mapping[str, Any], name: str) -> str:
    return json.dumps(fields[name]) if name in fields else "absent"
