"""What the loop records of its steps: means for the log, curves for TensorBoard, one short line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.families.family import Training
from tdgan_jax.files import reason
from tdgan_jax.processes.membership import is_first
from tdgan_jax.runs.folder import METRICS_FILE, MetricsLog


def mean_metrics(window: list[tuple[int, dict[str, jax.Array]]]) -> dict[str, dict[str, float]]:
    """Means over the steps since the last record of what each step reports.

    Args:
        window: Steps with the scalars that they report.

    Returns:
        `{"losses": {name: mean}}`, sorted by name.

    Raises:
        UserError: If a value is not finite; names the step and the value.
    """
    values: dict[str, list[float]] = {}
    for step, metrics in jax.device_get(window):
        for name, value in metrics.items():
            if not np.isfinite(value):
                raise UserError(
                    f"step {step}: {name} is {value}; the last checkpoint is from before. Lower "
                    "the learning rates or look at metrics.jsonl for what grew"
                )
            values.setdefault(name, []).append(float(value))
    return {"losses": {name: float(np.mean(series)) for name, series in sorted(values.items())}}


def one_line(training: Training, record: dict[str, Any]) -> str:
    """A record for the progress bar: speed, some losses, validation accuracy if it is there."""
    losses = record["losses"]
    parts = [f"{record['images_per_second']:.1f} images/s"]
    parts += [f"{name}={losses[name]:.2f}" for name in training.shown_losses if name in losses]
    if figures := record.get("evaluation", {}).get("validation"):
        parts.append(f"validation {figures[training.recognisers[0]]['accuracy']:.3f}")
    return " ".join(parts)


@contextmanager
def records_of(workdir: Path, *, last_step: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Opens the logs of a run: `metrics.jsonl` and TensorBoard's events.

    Args:
        workdir: The run folder.
        last_step: The step that the run goes on from, 0 at first; later records are dropped.

    Yields:
        What writes a record into both; of several processes the first one alone writes.

    Raises:
        UserError: If the log is damaged or cannot be written.
    """
    if not is_first():
        yield lambda record: None
        return
    log = MetricsLog(workdir / METRICS_FILE)
    log.truncate_after(last_step or -1)
    with _event_file(workdir, purge_step=last_step + 1) as write_event:

        def write(record: dict[str, Any]) -> None:
            log.append(record)
            write_event(record["step"], _curves(record))

        yield write


@contextmanager
def _event_file(
    workdir: Path, *, purge_step: int
) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Opens a file of TensorBoard's events; later steps of earlier files are hidden by it."""
    # It imports torch where that is installed: two seconds that a refused run need not wait.
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore
    from tensorboardX.summary import scalar

    # Not `SummaryWriter`: its thread dies on a full disk, and who adds to its queue waits for ever.
    with _said_of(workdir):
        writer = EventsWriter(str(workdir / "events"))
        start = SessionLog(status=SessionLog.START)
        writer.write_event(Event(step=purge_step, wall_time=time.time(), session_log=start))

    def write(step: int, curves: dict[str, float]) -> None:
        with _said_of(workdir):
            for name, value in curves.items():
                summary = scalar(name, value)
                writer.write_event(Event(step=step, wall_time=time.time(), summary=summary))
            writer.flush()

    try:
        yield write
    finally:
        with suppress(OSError):  # said when it was written
            writer.close()


@contextmanager
def _said_of(workdir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write TensorBoard's events in {workdir}: {reason(error)}"
        ) from error


def _curves(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a record that TensorBoard draws, by name."""
    curves = {"images_per_second": record["images_per_second"]}
    curves |= {f"losses/{name}": value for name, value in record["losses"].items()}
    for split, recognisers in record.get("evaluation", {}).items():
        for recogniser, figures in recognisers.items():
            curves[f"{split}/{recogniser}_accuracy"] = figures["accuracy"]
    return curves
