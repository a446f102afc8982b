"""The expressions of a video over time, as a drawing."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tdgan_jax.inference.records import FaceRecord
from tdgan_jax.printing import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TRACKS = 3  # the longest: more panels than a page shows at once serve nobody
_PANEL_INCH = 2.3
_WIDTH_INCH = 7.0
_FEW = 40  # moments that get a mark each


def draw_curves(records: Sequence[FaceRecord], expression_names: Sequence[str]) -> "Figure | None":
    """Probabilities over seconds, a panel a face; below it valence and arousal where known.

    Args:
        records: Of all frames, in the order of time.
        expression_names: Names in the order of the lines.

    Returns:
        The figure; None if no face was recognised.
    """
    from matplotlib.figure import Figure

    tracks = _longest_tracks(records)
    if not tracks:
        return None
    panels = []
    for track, moments in tracks.items():
        panels.append((f"face {track}", moments, False))
        if any(record.valence is not None for record in moments):
            panels.append((f"face {track}", moments, True))
    size = (_WIDTH_INCH, _PANEL_INCH * len(panels) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, moments, is_affect) in zip(all_axes, panels, strict=True):
        axes.set_title(title, loc="left", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        (_draw_affect if is_affect else _draw_expressions)(axes, moments, expression_names)
    all_axes[-1].set_xlabel("seconds")
    return figure


def _longest_tracks(records: Sequence[FaceRecord]) -> dict[int, list[FaceRecord]]:
    tracks: dict[int, list[FaceRecord]] = defaultdict(list)
    for record in records:
        if record.probabilities is not None:
            tracks[record.track or 0].append(record)
    longest = sorted(tracks, key=lambda track: (-len(tracks[track]), track))[:MOST_TRACKS]
    return {track: tracks[track] for track in sorted(longest)}


def _draw_expressions(
    axes: "Axes", moments: Sequence[FaceRecord], expression_names: Sequence[str]
) -> None:
    for name in expression_names:
        values = [(record.probabilities or {})[name] for record in moments]
        _draw_line(axes, moments, values, printable(name))
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("probability")


def _draw_affect(axes: "Axes", moments: Sequence[FaceRecord], _: Sequence[str]) -> None:
    for name in ("valence", "arousal"):
        _draw_line(axes, moments, [getattr(record, name) for record in moments], name)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.set_ylim(-1.05, 1.05)


def _draw_line(
    axes: "Axes", moments: Sequence[FaceRecord], values: Sequence[float], label: str
) -> None:
    times = [
        float(record.frame or 0) if record.time_s is None else record.time_s for record in moments
    ]
    marker = "o" if len(moments) < _FEW else ""
    axes.plot(times, values, marker=marker, markersize=3, linewidth=1.4, label=label)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
