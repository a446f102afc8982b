"""The files of a run folder other than its checkpoints: their names, reading and safe writing.

A run holds `config.json` (resolved), `environment.json`, `metrics.jsonl`, `samples/*.png`,
`result.json`, `report.html` and, of some systems, `beginning.json`; a cross-validation holds
`fold_0/ ... fold_9/`, each a run folder, `config.json`, `environment.json`,
`cross_validation.json` and `report.html`. Whole files are replaced atomically: a reader sees the
old or the new content, never a part.

One line of `metrics.jsonl` is one logged step::

    {"step": int, "epoch": int, "images_per_second": float, "losses": {name: float},
     "evaluation": {"validation" | "test": {recogniser: recognition_metrics(...)}}}

`evaluation` stands only in the record of an epoch's last step. Steps rise strictly from line to
line. A number that is not finite is written as null, since JSON has no NaN.
"""

import contextlib
import importlib.metadata
import json
import math
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tdgan_jax
from tdgan_jax.errors import UserError
from tdgan_jax.families.fields import as_of_today
from tdgan_jax.files import plain, read_file, reason, write_atomically
from tdgan_jax.machine import GLIBC_SETTINGS, usable_cores
from tdgan_jax.runs.lock import locked_folder
from tdgan_jax.runs.small_files import damage, read_if_there

CONFIG_FILE = "config.json"
ENVIRONMENT_FILE = "environment.json"
METRICS_FILE = "metrics.jsonl"
MAX_LOG_BYTES = 1 << 30
RESULT_FILE = "result.json"
BEGINNING_FILE = "beginning.json"  # what a system took from the training examples
CROSS_VALIDATION_FILE = "cross_validation.json"
REPORT_FILE = "report.html"
DISENTANGLEMENT_FILE = "disentanglement.json"
PICTURES_FOLDER = "pictures"  # drawn from the trained model for the report: these three
FEATURES_FILE = "features.json"
ERRORS_FILE = "errors.json"
INTERPOLATION_FILE = "interpolation.png"
AFFECT_FILE = "affect.json"  # of models that know valence and arousal
SAMPLES_FOLDER = "samples"
AVERAGE_FACES_SHEET = "average_faces.png"  # a picture that the feed of IF-GAN gives
CHECKPOINTS_FOLDER = "checkpoints"

_MARKS = (CONFIG_FILE, METRICS_FILE, RESULT_FILE, CROSS_VALIDATION_FILE)
_PACKAGES = ("tdgan-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class RunFiles(NamedTuple):
    """What a run folder holds; None or an empty list stands for a file that is not there.

    Fields that are younger than the run stand in `config` with their defaults.
    """

    path: Path
    config: dict[str, Any] | None
    environment: dict[str, Any] | None
    metrics: list[dict[str, Any]]
    result: dict[str, Any] | None
    cross_validation: dict[str, Any] | None
    samples: list[Path]  # in the order of their epoch and step
    folds: list[Path]


def read_run(path: Path) -> RunFiles:
    """Reads the small files of a run folder, finished or not.

    Args:
        path: The run folder.

    Raises:
        UserError: The path is no run folder, or one of its files is damaged (the file is named).
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path} is not a folder; give the folder of a run")
    if not is_run_folder(path):
        raise UserError(f"{path} is no run folder: it holds none of {', '.join(_MARKS)}")
    config = read_if_there(path / CONFIG_FILE, "config")
    return RunFiles(
        path=path,
        config=None if config is None else as_of_today(config),
        environment=read_if_there(path / ENVIRONMENT_FILE, "environment"),
        metrics=read_metrics(path / METRICS_FILE),
        result=read_if_there(path / RESULT_FILE, "result"),
        cross_validation=read_if_there(path / CROSS_VALIDATION_FILE, "cross-validation"),
        samples=sorted_by_number((path / SAMPLES_FOLDER).glob("*.png")),
        folds=_folds(path),
    )


def is_run_folder(path: Path) -> bool:
    """Says whether a folder holds a file of a run, or folds."""
    return any((Path(path) / name).is_file() for name in _MARKS) or bool(_folds(Path(path)))


def sample_path(run: Path, epoch: int, step: int) -> Path:
    """Where the sample sheet of a step stands; names sort in the order of time."""
    return Path(run) / SAMPLES_FOLDER / f"epoch_{epoch:04d}_step_{step:07d}.png"


def recognisers(result: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The recognisers' figures by name among the fields of a `result.json` or of an evaluation."""
    return {
        name: value
        for name, value in (result or {}).items()
        if isinstance(value, dict) and "accuracy" in value
    }


def sorted_by_number(paths: Iterable[Path]) -> list[Path]:
    """Sorts paths by name with numbers compared as numbers: fold_2 before fold_10."""

    def key(path: Path) -> list[tuple[int, int, str]]:
        parts = re.findall(r"\d+|\D+", path.name)
        return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]

    return sorted(paths, key=key)


def environment(devices: Sequence[Any]) -> dict[str, Any]:
    """Describes where a run is computed: the content of `environment.json`.

    Args:
        devices: The accelerator or CPU devices in use, e.g. `jax.devices()`.

    Returns:
        Versions by package name (null for one that is not installed), the platform, the devices
        as text, the number of usable CPU cores, the settings of the GNU C library (huge pages; null
        without), and the git commit of the package's source tree with whether tracked files differ
        from it (both null outside a git checkout).
    """
    commit = _git("rev-parse", "HEAD")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "devices": [str(device) for device in devices],
        "device_kinds": sorted({getattr(device, "device_kind", "unknown") for device in devices}),
        "cpu_count": usable_cores(),
        "glibc_settings": os.environ.get(GLIBC_SETTINGS) or None,
        "git_commit": commit,
        "git_modified": bool(_git("status", "--porcelain", "-uno")) if commit else None,
    }


class MetricsLog:
    """Appends records to `metrics.jsonl`, so that a killed run leaves at most one torn line."""

    def __init__(self, path: Path):
        """Opens a log for appending; a torn last line of an earlier run is dropped.

        Args:
            path: The file, which need not exist yet.

        Raises:
            UserError: The existing file is damaged elsewhere than in its last line.
        """
        self._path = Path(path)
        self._last_step = -1
        self.truncate_after(None)

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes one record as one line in one write.

        Raises:
            UserError: The line cannot be written (no space, no permission).
            ValueError: The record's step is not above the last one in the file.
        """
        if record["step"] <= self._last_step:
            raise ValueError(f"step {record['step']} does not follow step {self._last_step}")
        line = (json.dumps(_finite(record), allow_nan=False) + "\n").encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab", buffering=0) as file:
                written = file.write(line)
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror or error}") from error
        if written != len(line):
            raise UserError(f"cannot write {self._path}: no space left on the device")
        self._last_step = int(record["step"])

    def truncate_after(self, step: int | None) -> None:
        """Drops the records above a step and a torn last line, atomically; used on resuming.

        Args:
            step: The step that the run resumes from: the last one that stays. -1 empties the log,
                None keeps every whole record.
        """
        records = read_metrics(self._path)
        kept = [record for record in records if step is None or record["step"] <= step]
        content = "".join(json.dumps(record) + "\n" for record in kept).encode()
        if self._path.exists() and _read_log(self._path) != content:
            write_atomically(self._path, content)
        self._last_step = max((record["step"] for record in kept), default=-1)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads `metrics.jsonl`; a torn last line and a missing file are no errors.

    Raises:
        UserError: A line before the last one is damaged.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = _read_log(path).splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            wrong = damage(record, "record")
        except (ValueError, RecursionError):
            wrong = "it is no JSON"
        if wrong:
            if number == len(lines):
                break
            raise UserError(f"{path} is damaged in line {number}: {wrong}")
        records.append(record)
    return records


def _read_log(path: Path) -> bytes:
    try:
        return read_file(path, limit_bytes=MAX_LOG_BYTES)
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error


def check_writable_with_space(path: Path, needed_bytes: int) -> None:
    """Makes sure that a folder can be written and has room, before any work starts.

    The folder is created when there is room for it.

    Args:
        path: The folder of the run.
        needed_bytes: Expected disk use.

    Raises:
        UserError: Too little space (both numbers are named) or a folder that cannot be written.
    """
    path = Path(path).absolute()
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise UserError(
            f"too little disk space for {path}: needed {needed_bytes:,} bytes, "
            f"free {free_bytes:,} bytes; free some or give another folder"
        )
    probe = path / f".writable.{os.getpid()}.tmp"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write into {path}: {reason}; give another folder") from error


@contextlib.contextmanager
def in_use_by_this_process(path: Path) -> Iterator[None]:
    """Keeps other processes from training in the same folder; ends with this one, however it ends.

    Where the file system cannot lock a folder, nothing is kept off.

    Raises:
        UserError: If another process holds the folder.
    """
    with locked_folder(path) as is_locked:
        if is_locked is False:
            raise UserError(
                f"another process trains in {path}; wait for it, or give another --workdir"
            )
        yield


def _folds(path: Path) -> list[Path]:
    return [fold for fold in sorted_by_number(path.glob("fold_*")) if fold.is_dir()]


def _finite(value: Any) -> Any:
    """Plain copy of a record with null in the place of numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):  # numpy.float64 too
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return _finite(plain(value))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Output of a git command in the package's own source tree, None outside of one."""
    root = Path(tdgan_jax.__file__).parent.parent
    if not (root / ".git").exists():  # e.g. installed into another project's environment
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
