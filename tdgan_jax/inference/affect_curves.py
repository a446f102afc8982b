"""Valence and arousal over the time of a video, as a drawing."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.inference.outputs import staged_path, write_errors_of
from tdgan_jax.inference.records import FaceRecord
from tdgan_jax.inference.tracks import longest_tracks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tdgan_jax.families.capabilities import Model

SUFFIXES = (".png", ".svg", ".pdf")
MOST_TRACKS = 8  # more lines could not be told apart
DIMENSIONS = ("valence", "arousal")


class Moment(NamedTuple):
    """What a face showed at a time."""

    time_s: float
    valence: float
    arousal: float


class AffectCurves:
    """Gathers what the faces of a video show, a curve a track."""

    def __init__(self) -> None:
        """Begins without a face."""
        self._tracks: dict[int, list[Moment]] = defaultdict(list)

    def add(self, records: Sequence[FaceRecord]) -> None:
        """Takes the records of the next frame."""
        for record in records:
            if record.valence is not None and record.arousal is not None:
                time_s = float(record.frame or 0) if record.time_s is None else record.time_s
                moment = Moment(time_s, record.valence, record.arousal)
                self._tracks[record.track or 0].append(moment)

    @property
    def longest(self) -> dict[int, list[Moment]]:
        """The tracks that are drawn, by their number."""
        return longest_tracks(self._tracks, MOST_TRACKS)


def check_knows_affect(model: "Model") -> None:
    """Refuses a model that knows nothing of valence and arousal.

    Raises:
        UserError: If it does not.
    """
    size, channels = model.image_size_px, model.image_channels
    if model.recognise(np.zeros((1, size, size, channels), np.float32)).affect is None:
        raise UserError("the model knows no valence and arousal; leave --curves out")


@contextmanager
def curves_file(out: Path) -> Iterator[AffectCurves]:
    """A drawing that is written when the block has ended well.

    Args:
        out: A file that ends in one of `SUFFIXES`.

    Raises:
        UserError: If it cannot be written.
    """
    curves = AffectCurves()
    yield curves
    figure = draw_curves(curves.longest)
    with staged_path(out) as staging, write_errors_of(out):
        figure.savefig(staging, format=out.suffix[1:].lower(), dpi=150)


def draw_curves(tracks: dict[int, list[Moment]]) -> "Figure":
    """Valence above arousal, both over time, a line a track.

    Args:
        tracks: Number of a track to what it shows, in the order of time.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    for axes, dimension in zip(panels, DIMENSIONS, strict=True):
        for track, moments in tracks.items():
            times = [moment.time_s for moment in moments]
            values = [getattr(moment, dimension) for moment in moments]
            marker = "o" if len(moments) < 40 else ""
            axes.plot(times, values, marker=marker, markersize=3, label=f"track {track}")
        axes.axhline(0, color="0.7", linewidth=0.8)
        axes.set_ylim(-1.05, 1.05)
        axes.set_ylabel(dimension)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("seconds")
    if len(tracks) > 1:
        panels[0].legend(loc="upper right", ncols=4, frameon=False)
    return figure
