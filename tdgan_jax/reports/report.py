"""The report of one run, or of several side by side: one HTML file that needs nothing else.

No script, no network, no server: style, figures and images stand inside the file. Pieces that a run
does not have (yet) are named as missing.
"""

import re
import statistics
import threading
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

from tdgan_jax.files import write_atomically
from tdgan_jax.reports import page
from tdgan_jax.reports.affect_sections import affect_section
from tdgan_jax.reports.comparison_sections import comparison_section
from tdgan_jax.reports.confusion_sections import confusion_section
from tdgan_jax.reports.cross_validation_sections import cross_validation_section
from tdgan_jax.reports.curve_sections import accuracy_section, losses_section
from tdgan_jax.reports.measurement_sections import (
    calibration_section,
    disentanglement_section,
)
from tdgan_jax.reports.picture_sections import (
    errors_section,
    features_section,
    interpolation_section,
)
from tdgan_jax.reports.recognition_sections import results_section
from tdgan_jax.reports.sample_sections import average_faces_section, samples_section
from tdgan_jax.reports.settings_sections import (
    config_section,
    differences,
    environment_section,
)
from tdgan_jax.runs.folder import REPORT_FILE, RunFiles, is_run_folder, read_run

Facts: TypeAlias = list[tuple[str, str]]  # name and value
Sections: TypeAlias = list[tuple[str, str, str]]  # anchor, heading and body as HTML

# matplotlib's style is that of the process, in which several runs may end at the same time.
_drawing = threading.Lock()


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
    by_name = dict(zip(distinct_names([run.path for run in given]), given, strict=True))
    title = _title([run.path for run in given])
    with _drawing:
        if len(given) == 1 and _is_cross_validation(given[0]):
            kind, facts, sections = _cross_validation(by_name)
        else:
            kind, facts, sections = _runs(by_name)
    header = f'<p class="eyebrow">{kind}</p><h1>{escape(title)}</h1>'
    if facts:
        header += page.facts((name, value) for name, value in facts if value)
    target = Path(out) if out is not None else given[0].path / REPORT_FILE
    html = page.page(f"{title}: {kind.lower()}", header, sections)
    write_atomically(target, html.encode())
    return target


def _cross_validation(by_name: Mapping[str, RunFiles]) -> tuple[str, Facts, Sections]:
    """One cross-validation: what its folds give together, then the folds side by side."""
    (run,) = by_name.values()
    folds = {fold.name: _read_fold(fold) for fold in run.folds}
    config, summary = run.config or {}, run.cross_validation or {}
    count = config.get("data", {}).get("num_folds") or len(folds)
    finished = sum(fold.result is not None for fold in folds.values())
    facts = [
        ("State", "finished" if summary else f"{finished} of {count} folds finished"),
        ("Steps", _grouped(summary.get("steps"))),
        ("Time of all folds", _duration(summary.get("seconds"))),
        ("Seed", _grouped(config.get("seed"))),
        ("Devices", _devices(run.environment or {})),
    ]
    sections = [_folds_section(by_name), *_run_sections(folds, joined=bool(summary))]
    return f"Cross-validation, {count} folds", facts, sections + _settings({"all folds": run})


def _runs(by_name: Mapping[str, RunFiles]) -> tuple[str, Facts, Sections]:
    """One run, or several side by side; cross-validations among them stand with their summaries."""
    joined = {name: run for name, run in by_name.items() if _is_cross_validation(run)}
    single = {name: run for name, run in by_name.items() if name not in joined}
    sections = _comparison(by_name) if len(by_name) > 1 else []
    if joined:
        sections.append(_folds_section(joined))
    if single:
        sections += _run_sections(single, joined=False)
        sections += _model_sections(single)
    sections += _settings(by_name)
    if len(by_name) > 1:
        return f"Comparison of {len(by_name)} runs", [], sections
    (run,) = by_name.values()
    result = run.result or {}
    last = run.metrics[-1] if run.metrics else {}
    facts = [
        ("State", "finished" if run.result else "not finished"),
        ("Steps", _grouped(last.get("step"))),
        ("Chosen epoch (from 0)", _grouped(result.get("epoch"))),
        ("Time", _duration(result.get("seconds"))),
        ("Seed", _grouped(result.get("seed"))),
        ("Images a second", _median_speed(run)),
        ("Devices", _devices(run.environment or {})),
    ]
    return "Training report", facts, sections


def _is_cross_validation(run: RunFiles) -> bool:
    return bool(run.folds) and not run.metrics and run.result is None


def _folds_section(joined: Mapping[str, RunFiles]) -> tuple[str, str, str]:
    summaries = {name: run.cross_validation for name, run in joined.items()}
    known = {name: summary for name, summary in summaries.items() if summary is not None}
    body = cross_validation_section(known) if known else ""
    for name in [name for name in summaries if name not in known]:
        body += page.missing(f"{name}: no cross_validation.json yet, not all folds are finished.")
    return "folds", "Cross-validation", body


def _run_sections(runs: Mapping[str, RunFiles], *, joined: bool) -> Sections:
    """The sections of runs; `joined` leaves out what the section on all folds shows better."""
    faces_html = average_faces_section(runs)
    average_faces = [("average-faces", "Average faces", faces_html)] if faces_html else []
    affect_html = affect_section(runs)
    affect = [("affect", "Valence and arousal", affect_html)] if affect_html else []
    confusion = [] if joined else [("confusion", "Confusion", confusion_section(runs))]
    return [
        ("results", "Results", results_section(runs, warn=not joined)),
        *affect,
        ("accuracy", "Accuracy over the epochs", accuracy_section(runs)),
        ("losses", "Losses", losses_section(runs)),
        *confusion,
        ("samples", "Samples", samples_section(runs)),
        *average_faces,
    ]


def _comparison(runs: Mapping[str, RunFiles]) -> Sections:
    """What several runs are compared by: first how they were made, then how they do."""
    return [
        ("differences", "Differences", differences(runs)),
        ("comparison", "Comparison", comparison_section(runs)),
    ]


def _model_sections(runs: Mapping[str, RunFiles]) -> Sections:
    """What is known of the trained models beside their accuracy."""
    return [
        ("calibration", "Calibration", calibration_section(runs)),
        ("disentanglement", "Disentanglement", disentanglement_section(runs)),
        ("features", "Features", features_section(runs)),
        ("errors", "Most confident errors", errors_section(runs)),
        ("interpolation", "Interpolation", interpolation_section(runs)),
    ]


def _settings(runs: Mapping[str, RunFiles]) -> Sections:
    return [
        ("config", "Configuration", config_section(runs)),
        ("environment", "Environment", environment_section(runs)),
    ]


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


def _title(paths: Sequence[Path]) -> str:
    names = " · ".join(distinct_names(paths))
    parents = {path.resolve().parent.name for path in paths}
    if len(paths) > 1 and len(parents) == 1:
        return f"{parents.pop()}: {names}"
    return names


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
