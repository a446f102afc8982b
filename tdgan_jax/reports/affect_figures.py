"""Valence and arousal as inline SVG: the circumplex, and answers beside labels."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from tdgan_jax.reports.drawing import (
    INK,
    LINE,
    MUTED,
    NUM_COLOURS,
    SERIES,
    STYLE,
    blank,
    svg,
)

_EDGE = 1.15  # of what is shown: values are in [-1, 1], answers may lie beyond
_INSIDE = 1.12


def circumplex_figure(
    name: str,
    points: Sequence[Sequence[float]],
    classes: Sequence[int],
    labels: Sequence[Sequence[float | None]],
    description: str,
) -> str:
    """Answers in the plane of valence and arousal (Russell 1980), coloured by expression.

    A ring is the mean label of an expression, in its colour.

    Args:
        name: Unique among the figures of one page.
        points: `[N, 2]`, the model's valence and arousal; those outside are drawn at the edge.
        classes: `[N]`, the expression's index.
        labels: `[N, 2]`, valence and arousal as labelled; None where unknown.
        description: For readers that do not see the figure.

    Returns:
        An `<svg>` element.
    """
    places = _shown(points)
    known, indices = np.array(labels, dtype=float).reshape(-1, 2), np.array(classes)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.0, 3.8)
        axes.add_patch(Circle((0, 0), 1.0, fill=False, edgecolor=LINE, linewidth=1.0))
        axes.axhline(0, color=LINE, linewidth=0.8)
        axes.axvline(0, color=LINE, linewidth=0.8)
        for index in np.unique(indices[indices >= 0]):
            colour = SERIES[index % NUM_COLOURS]
            chosen = indices == index
            axes.plot(*places[chosen].T, "o", color=colour, markersize=2.4, markeredgewidth=0)
            of_class = known[chosen]
            of_class = of_class[np.isfinite(of_class).all(axis=1)]
            if len(of_class):
                ring = {"markersize": 9, "markeredgewidth": 1.8, "markerfacecolor": "none"}
                axes.plot(*of_class.mean(axis=0), "o", color=colour, **ring)
        _square(axes, "valence", "arousal")
        return svg(figure, name, description)


def answers_figure(
    name: str,
    labels: Sequence[float | None],
    answers: Sequence[float],
    description: str,
    *,
    colour: int = 0,
) -> str:
    """Answers over labels, beside the line of right ones.

    Args:
        name: Unique among the figures of one page.
        labels: `[N]`; None where unknown.
        answers: `[N]`; those outside are drawn at the edge.
        description: For readers that do not see the figure.
        colour: Index of the series.

    Returns:
        An `<svg>` element.
    """
    points = np.array(list(zip(labels, answers, strict=True)), dtype=float).reshape(-1, 2)
    places = _shown(points[np.isfinite(points).all(axis=1)])
    series = SERIES[colour % NUM_COLOURS]
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.0, 3.8)
        axes.plot([-1, 1], [-1, 1], color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)))
        axes.plot(*places.T, "o", color=series, markersize=2.4, markeredgewidth=0, alpha=0.6)
        _square(axes, "label", "answer")
        return svg(figure, name, description)


def _shown(points: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Places in whole hundredths (a third of what all digits make), those outside at the edge."""
    places = np.asarray(points, dtype=float).reshape(-1, 2)
    return np.round(np.clip(places, -_INSIDE, _INSIDE), 2)


def _square(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlim(-_EDGE, _EDGE)
    axes.set_ylim(-_EDGE, _EDGE)
    axes.set_aspect("equal")
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.tick_params(labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
