"""Drawings: the expressions of a video over time, and faces in the plane of affect."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tdgan_jax.inference.records import FaceRecord
from tdgan_jax.inference.tracks import longest_tracks
from tdgan_jax.printing import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TRACKS = 3  # the longest: more panels than fit on a page
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

    tracks = longest_tracks(_tracks(records), MOST_TRACKS)
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


def draw_circumplex(records: Sequence[FaceRecord]) -> "Figure | None":
    """Faces in the plane of valence and arousal (Russell 1980), with their numbers and labels.

    Args:
        records: Of one picture.

    Returns:
        The figure; None if the model knows nothing of valence and arousal.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    known = [record for record in records if record.valence is not None]
    if not known:
        return None
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    axes.add_patch(Circle((0, 0), 1.0, fill=False, edgecolor="0.8"))
    axes.axhline(0, color="0.8", linewidth=0.8)
    axes.axvline(0, color="0.8", linewidth=0.8)
    for record in known:
        # Answers may lie beyond the values of labels.
        x, y = (min(max(value or 0.0, -1.1), 1.1) for value in (record.valence, record.arousal))
        axes.plot(x, y, "o", markersize=7)
        title = f"{record.face}  {printable(record.label)}"
        side = {"xytext": (8, 0), "ha": "left"} if x < 0.4 else {"xytext": (-8, 0), "ha": "right"}
        axes.annotate(title, (x, y), textcoords="offset points", va="center", fontsize=9, **side)
    axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    axes.set_xlabel("valence: unpleasant to pleasant")
    axes.set_ylabel("arousal: calm to excited")
    axes.spines[:].set_visible(False)
    return figure


def _tracks(records: Sequence[FaceRecord]) -> dict[int, list[FaceRecord]]:
    tracks: dict[int, list[FaceRecord]] = defaultdict(list)
    for record in records:
        if record.probabilities is not None:
            tracks[record.track or 0].append(record)
    return tracks


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
