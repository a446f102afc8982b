"""Sections of the report about how runs were made: configuration and environment.

`runs` maps a short name to the files of its run.
"""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from tdgan_jax.reports import page
from tdgan_jax.runs.folder import RunFiles


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as one level of dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(runs: Mapping[str, RunFiles]) -> str:
    """The fields in which the configurations of several runs differ, a column a run."""
    configs = {name: flattened(run.config) for name, run in runs.items() if run.config is not None}
    if not configs:
        return page.missing("No config.json.")
    rows = _differing_rows(configs)
    if not rows:
        return page.missing("The configurations are equal.")
    return page.table(["Field", *map(escape, configs)], rows, "text")


def config_section(runs: Mapping[str, RunFiles]) -> str:
    """The fields of each configuration."""
    configs = {name: flattened(run.config) for name, run in runs.items() if run.config is not None}
    if not configs:
        return page.missing("No config.json.")
    parts = []
    for name, config in configs.items():
        rows = [[escape(key), _value(value)] for key, value in config.items()]
        title = f"All fields ({len(config)})" + (f" of {name}" if len(configs) > 1 else "")
        parts.append(page.details(title, page.table(["Field", "Value"], rows, "text")))
    return "".join(parts)


def environment_section(runs: Mapping[str, RunFiles]) -> str:
    """Versions and devices, a column a run."""
    known = {name: run.environment for name, run in runs.items() if run.environment is not None}
    if not known:
        return page.missing("No environment.json.")
    flat = {name: flattened(environment) for name, environment in known.items()}
    keys = dict.fromkeys(key for fields in flat.values() for key in fields)
    rows = [
        [escape(key.removeprefix("packages.")), *(_value(f.get(key)) for f in flat.values())]
        for key in keys
    ]
    heads = ["Value"] if len(flat) == 1 else [escape(name) for name in flat]
    return page.table(["", *heads], rows, "text")


def _differing_rows(configs: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    keys = dict.fromkeys(key for config in configs.values() for key in config)
    rows = []
    for key in keys:
        values = [_value(config[key]) if key in config else "–" for config in configs.values()]
        if len(set(values)) > 1:
            rows.append([escape(key), *values])
    return rows


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"<code>{escape(text)}</code>" if text else "<code>(empty)</code>"
