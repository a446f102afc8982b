"""The report of one run, or of several side by side: one HTML file that needs nothing else.

No script, no network, no server: style, figures and images stand inside the file. Pieces that a run
does not have (yet) are named as missing.
"""

import io
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from tdgan_jax.run_folder import REPORT_FILE, RunFiles, is_run_folder, read_run, write_atomically
from tdgan_jax.visualisation import page
from tdgan_jax.visualisation.curve_sections import accuracy_section, losses_section
from tdgan_jax.visualisation.recognition_sections import (
    confusion_section,
    cross_validation_section,
    results_section,
)

_SAMPLES_ALONE = 5
_SAMPLES_BESIDE_OTHERS = 2
_LARGE_IMAGE_BYTES = 400_000


def write_report(run_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Writes the report of one or several runs.

    The folder of a cross-validation shows its summary and its folds side by side.

    Args:
        run_dirs: Run folders, finished or not; the first one is the reference of the comparison.
        out: The file to write; None means `report.html` in the first run folder. An existing file
            is replaced.

    Returns:
        The file written.

    Raises:
        UserError: A path is no run folder, a file in it is damaged, or `out` cannot be written.
        ValueError: No run is given.
    """
    if not run_dirs:
        raise ValueError("no run folder is given")
    given = [read_run(Path(folder)) for folder in run_dirs]
    shown = given
    if len(given) == 1 and given[0].folds and not given[0].metrics and not given[0].result:
        shown = [_read_fold(fold) for fold in given[0].folds]
    runs = dict(zip(distinct_names([run.path for run in shown]), shown, strict=True))
    titles = distinct_names([run.path for run in given])
    target = Path(out) if out is not None else given[0].path / REPORT_FILE

    sections = [("results", "Results", results_section(runs))]
    summaries = {
        name: run.cross_validation
        for name, run in zip(titles, given, strict=True)
        if run.cross_validation is not None
    }
    if summaries:
        body = cross_validation_section(summaries)
        sections.insert(0, ("folds", "Cross-validation", body))
    sections += [
        ("accuracy", "Accuracy over the epochs", accuracy_section(runs)),
        ("losses", "Losses", losses_section(runs)),
        ("confusion", "Confusion", confusion_section(runs)),
        ("samples", "Samples", _samples_section(runs)),
        ("config", "Configuration", _config_section(runs, given)),
        ("environment", "Environment", _environment_section(runs, given)),
    ]
    title = _title([run.path for run in given])
    kind = "Training report"
    if len(runs) > 1:
        unit = "Comparison of {} runs" if len(given) > 1 else "Cross-validation, {} folds"
        kind = unit.format(len(runs))
    html = page.page(f"{title}: {kind.lower()}", _header(title, kind, runs), sections)
    write_atomically(target, html.encode())
    return target


def _read_fold(path: Path) -> RunFiles:
    """Reads a fold's folder; one that has not started is a run without files."""
    if is_run_folder(path):
        return read_run(path)
    return RunFiles(path, None, None, [], None, None, [], [])


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest endings of paths that tell them apart, e.g. `tdgan/seed_0`, `ifgan/seed_0`.

    The same folder given twice gets a number.
    """
    parts = [path.resolve().parts for path in paths]
    longest = max(map(len, parts))
    length = 1
    while length < longest and len({part[-length:] for part in parts}) < len(set(parts)):
        length += 1
    # A folder named after its seed says nothing where the folder above tells more.
    seeds_only = all(re.fullmatch(r"seed_\d+", part[-1]) for part in parts)
    if seeds_only and (len(parts) == 1 or len({part[:-1] for part in parts}) > 1):
        length = max(length, 2)
    names: list[str] = []
    for part in parts:
        name = "/".join(part[-length:])
        repeats = sum(known == name or known.startswith(f"{name} (") for known in names)
        names.append(f"{name} ({repeats + 1})" if repeats else name)
    return names


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as one level of dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _title(paths: Sequence[Path]) -> str:
    names = " · ".join(distinct_names(paths))
    parents = {path.resolve().parent.name for path in paths}
    if len(paths) > 1 and len(parents) == 1:
        return f"{parents.pop()}: {names}"
    return names


def _header(title: str, kind: str, runs: Mapping[str, RunFiles]) -> str:
    head = f'<p class="eyebrow">{kind}</p><h1>{escape(title)}</h1>'
    if len(runs) > 1:
        return head
    (run,) = runs.values()
    result = run.result or {}
    last = run.metrics[-1] if run.metrics else {}
    pairs = [
        ("State", "finished" if run.result else "not finished"),
        ("Steps", _grouped(last.get("step"))),
        ("Chosen epoch", _grouped(result.get("epoch"))),
        ("Time", _duration(result.get("seconds"))),
        ("Seed", _grouped(result.get("seed"))),
        ("Images a second", _median_speed(run)),
        ("Devices", _devices(run.environment or {})),
    ]
    return head + page.facts((name, value) for name, value in pairs if value)


def _samples_section(runs: Mapping[str, RunFiles]) -> str:
    parts = []
    limit = _SAMPLES_ALONE if len(runs) == 1 else _SAMPLES_BESIDE_OTHERS
    for name, run in runs.items():
        if len(runs) > 1:
            parts.append(f"<h3>{escape(name)}</h3>")
        if not run.samples:
            parts.append(page.missing(f"{name}: no sample sheet in samples/ yet."))
            continue
        cards = [_sample_card(path) for path in spread_out(run.samples, limit)]
        parts.append(page.grid(cards, "wide"))
    return "".join(parts)


def spread_out(items: Sequence[Any], limit: int) -> list[Any]:
    """The first, the last and evenly spaced ones between them, at most `limit`."""
    if len(items) <= limit:
        return list(items)
    return [items[round(index * (len(items) - 1) / (limit - 1))] for index in range(limit)]


def _sample_card(path: Path) -> str:
    match = re.fullmatch(r"epoch_(\d+)_step_(\d+)", path.stem)
    title = f"Epoch {int(match[1])}, step {int(match[2]):,}" if match else path.stem
    try:
        content, media_type = _small_image(path)
    except (OSError, UnidentifiedImageError):
        return page.card(escape(title), page.missing(f"{path.name} cannot be read as an image."))
    return page.card(escape(title), page.image(content, media_type, f"Sample sheet, {title}"))


def _small_image(path: Path) -> tuple[bytes, str]:
    """The file itself, or a JPEG of it when it is large."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        image.load()  # finds a torn file
        if len(content) <= _LARGE_IMAGE_BYTES:
            return content, "image/png"
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, format="JPEG", quality=90)
    return buffer.getvalue(), "image/jpeg"


def _config_section(runs: Mapping[str, RunFiles], given: Sequence[RunFiles]) -> str:
    configs = {name: flattened(run.config) for name, run in runs.items() if run.config is not None}
    if not configs and given[0].config is not None:  # of a cross-validation
        configs = {"all folds": flattened(given[0].config)}
    if not configs:
        return page.missing("No config.json.")
    parts = []
    if len(configs) > 1:
        rows = _differing_rows(configs)
        parts.append("<h3>Differences</h3>")
        parts.append(
            page.table(["Field", *map(escape, configs)], rows, "text")
            if rows
            else page.missing("The configurations are equal.")
        )
    for name, config in configs.items():
        rows = [[escape(key), _value(value)] for key, value in config.items()]
        title = f"All fields ({len(config)})" + (f" of {name}" if len(configs) > 1 else "")
        parts.append(page.details(title, page.table(["Field", "Value"], rows, "text")))
    return "".join(parts)


def _environment_section(runs: Mapping[str, RunFiles], given: Sequence[RunFiles]) -> str:
    known = {name: run.environment for name, run in runs.items() if run.environment is not None}
    if not known and given[0].environment is not None:
        known = {"all folds": given[0].environment}
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


def _grouped(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _median_speed(run: RunFiles) -> str:
    speeds = [record.get("images_per_second") for record in run.metrics]
    speeds = [speed for speed in speeds if speed is not None]
    return f"{statistics.median(speeds):.3g}" if speeds else ""


def _devices(environment: Mapping[str, Any]) -> str:
    devices = environment.get("devices") or []
    if len(devices) <= 1:
        return "".join(map(str, devices))
    return f"{len(devices)}, first {devices[0]}"
