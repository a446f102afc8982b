"""Curves and confusion matrices of the report, as inline SVG (see `drawing`)."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from tdgan_jax.reports.drawing import (
    HEAT,
    INK,
    MUTED,
    NUM_COLOURS,
    ON_HEAT,
    SERIES,
    STYLE,
    blank,
    svg,
)

_MAX_POINTS = 400
_MARKED_POINTS = 30


class Series(NamedTuple):
    """One curve. Points whose value is None or not finite are left out."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    colour: int = 0  # index into the colour-blind safe set, counted round

    @property
    def dashed(self) -> bool:
        """Whether its colour is that of an earlier curve: from the ninth on."""
        return self.colour >= NUM_COLOURS


class Level(NamedTuple):
    """A horizontal line to compare curves with."""

    label: str
    value: float


def finite_points(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve that can be drawn, as float arrays x and y."""
    x = np.asarray(series.x, dtype=float)
    y = np.asarray([np.nan if value is None else value for value in series.y], dtype=float)
    return x[np.isfinite(y)], y[np.isfinite(y)]


def last_value(series: Series, smooth: bool) -> float | None:
    """Where a curve ends as `curve_figure` draws it, None for a curve without points."""
    _, y = finite_points(series)
    if not len(y):
        return None
    return float(_running_mean(y)[-1] if smooth and _is_long(y) else y[-1])


def curve_figure(
    name: str,
    curves: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    description: str,
    y_range: tuple[float, float] | None = None,
    level: Level | None = None,
    smooth: bool = False,
) -> str:
    """Draws curves over steps or epochs.

    Args:
        name: Unique among the figures of one page.
        curves: What to draw; curves without a finite point are left out.
        x_label: What the x axis counts.
        y_label: What the y axis shows.
        description: For readers that do not see the figure.
        y_range: Limits of the y axis; None fits the data, on a logarithmic scale when the curves'
            medians differ by more than twenty times.
        level: A horizontal line to compare with.
        smooth: Whether long noisy curves get a running mean over the faint original.

    Returns:
        An `<svg>` element.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.0, 2.4)
        for curve in curves:
            _draw_curve(axes, curve, smooth)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel(x_label)
        if y_range is not None:
            axes.set_ylim(*y_range)
        elif _spans_decades(curves):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            y_label += " (log scale)"
        axes.set_ylabel(y_label)
        axes.grid(axis="y")
        axes.spines["left"].set_visible(False)
        if level is not None:
            axes.axhline(level.value, color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)))
        return svg(figure, name, description)


def confusion_figure(
    name: str, matrix: Sequence[Sequence[int]], labels: Sequence[str], description: str
) -> str:
    """Draws a confusion matrix: percent of each true class, with the counts below.

    Args:
        name: Unique among the figures of one page.
        matrix: Counts [C, C]; a row is a true class.
        labels: The C class names.
        description: For readers that do not see the figure.

    Returns:
        An `<svg>` element.
    """
    counts = np.asarray(matrix, dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(labels)
    short = [label if len(label) <= 12 else label[:11] + "…" for label in labels]
    scale = max(1.0, size / 9)  # more classes: a larger drawing, hence smaller cells on the page
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.0 * scale, 3.9 * scale)
        for row in range(size):
            for column in range(size):
                _draw_cell(axes, row, column, share[row, column], int(counts[row, column]))
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        axes.set_aspect("equal")
        axes.set_xticks(np.arange(size) + 0.5, short, rotation=40, ha="left")
        axes.set_yticks(np.arange(size) + 0.5, short)
        axes.tick_params(length=0, pad=2, labeltop=True, labelbottom=False, labelcolor=INK)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return svg(figure, name, description)


def _draw_curve(axes: Axes, curve: Series, smooth: bool) -> None:
    x, y = finite_points(curve)
    if not len(x):
        return
    colour = SERIES[curve.colour % NUM_COLOURS]
    line_style = (0, (4, 2)) if curve.dashed else "-"
    if smooth and _is_long(y):
        axes.plot(*_thinned(x, y), color=colour, linewidth=0.8, alpha=0.22)
        y = _running_mean(y)
    marker = "o" if len(x) <= _MARKED_POINTS else None
    x, y = _thinned(x, y)
    axes.plot(x, y, color=colour, linestyle=line_style, marker=marker, markersize=3)


def _draw_cell(axes: Axes, row: int, column: int, share: float, count: int) -> None:
    axes.add_patch(
        Rectangle(
            (column + 0.02, row + 0.02),
            0.96,
            0.96,
            facecolor=HEAT,
            alpha=0.04 + 0.96 * share,
            linewidth=0,
        )
    )
    if not count:
        return
    colour = ON_HEAT if share > 0.5 else INK
    percent = f"{share:.0%}".rstrip("%")
    centre = column + 0.5
    axes.text(centre, row + 0.44, percent, ha="center", va="center", color=colour, fontsize=9)
    axes.text(centre, row + 0.77, f"{count}", ha="center", va="center", color=colour, fontsize=6.6)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of equal runs of points, so that a long curve stays a small file."""
    if len(x) <= _MAX_POINTS:
        return x, y
    starts = np.linspace(0, len(x), _MAX_POINTS, endpoint=False).astype(int)
    lengths = np.diff(np.append(starts, len(x)))
    return np.add.reduceat(x, starts) / lengths, np.add.reduceat(y, starts) / lengths


def _is_long(values: np.ndarray) -> bool:
    return len(values) > 2 * _MARKED_POINTS


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Centred mean over a 25th of a curve; the window is cut at both ends."""
    window = max(3, len(values) // 25)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low = np.maximum(index - window // 2, 0)
    high = np.minimum(index + window // 2 + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _spans_decades(curves: Sequence[Series]) -> bool:
    values = [y for _, y in map(finite_points, curves) if len(y)]
    if not values or any((y <= 0).any() for y in values):
        return False
    medians = [float(np.median(y)) for y in values]
    return max(medians) > 20 * min(medians)
