"""What the loop records of its steps: means for the log, curves for TensorBoard, one short line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.families.family import Training
from tdgan_jax.processes.membership import is_first
from tdgan_jax.runs.folder import METRICS_FILE, MetricsLog

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


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
    # It imports torch where that is installed: two seconds that a refused run need not wait.
    from tensorboardX import SummaryWriter

    log = MetricsLog(workdir / METRICS_FILE)
    log.truncate_after(last_step or -1)
    with SummaryWriter(str(workdir), purge_step=last_step + 1) as board:

        def write(record: dict[str, Any]) -> None:
            log.append(record)
            _log_to_board(board, record)

        yield write


def _log_to_board(board: "SummaryWriter", record: dict[str, Any]) -> None:
    """Adds a record to TensorBoard's events."""
    step = record["step"]
    board.add_scalar("images_per_second", record["images_per_second"], step)
    for name, value in record["losses"].items():
        board.add_scalar(f"losses/{name}", value, step)
    for split, recognisers in record.get("evaluation", {}).items():
        for recogniser, figures in recognisers.items():
            board.add_scalar(f"{split}/{recogniser}_accuracy", figures["accuracy"], step)
