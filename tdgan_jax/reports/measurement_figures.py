"""Calibration diagrams, tables of shares as heat, and scattered points, as inline SVG."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

from tdgan_jax.reports.drawing import (
    HEAT,
    INK,
    LINE,
    MUTED,
    NUM_COLOURS,
    ON_HEAT,
    SERIES,
    STYLE,
    blank,
    svg,
)

MARKERS = "os^Dv"  # of the second eight classes and so on, whose colours repeat


def calibration_figure(
    name: str, bins: Sequence[Mapping[str, Any]], description: str, *, colour: int = 0
) -> str:
    """Accuracy over confidence, beside the line of a calibrated classifier.

    Args:
        name: Unique among the figures of one page.
        bins: `calibration_bins` of a result; the area of a dot is its share of the examples.
        description: For readers that do not see the figure.
        colour: Index of the series.

    Returns:
        An `<svg>` element.
    """
    confidence = [bin["confidence"] for bin in bins]
    accuracy = [bin["accuracy"] for bin in bins]
    counts = np.array([bin["num_examples"] for bin in bins], dtype=float)
    series = SERIES[colour % NUM_COLOURS]
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.0, 3.4)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)))
        axes.plot(confidence, accuracy, color=series, linewidth=1.2)
        sizes = 12 + 240 * counts / counts.sum()
        axes.scatter(
            confidence, accuracy, s=sizes, color=series, alpha=0.75, linewidths=0, clip_on=False
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        axes.grid(axis="y")
        return svg(figure, name, description)


def share_figure(
    name: str,
    shares: Sequence[Sequence[float | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    description: str,
) -> str:
    """Shares in 0..1 as cells of a table, the darker the larger; what is unknown stays empty.

    Args:
        name: Unique among the figures of one page.
        shares: `[R][K]`.
        rows: R names.
        columns: K names.
        description: For readers that do not see the figure.

    Returns:
        An `<svg>` element.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(3.8, 1.3 + 0.4 * len(rows))
        for row, values in enumerate(shares):
            for column, share in enumerate(values):
                depth = 0.0 if share is None else min(max(share, 0.0), 1.0)
                cell = Rectangle((column + 0.02, row + 0.03), 0.96, 0.94, linewidth=0)
                cell.set(facecolor=HEAT, alpha=0.04 + 0.96 * depth)
                axes.add_patch(cell)
                colour = ON_HEAT if depth > 0.5 else INK
                text = "–" if share is None else f"{share:.2f}"
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour)
        axes.set_xlim(0, len(columns))
        axes.set_ylim(len(rows), 0)
        axes.set_xticks(np.arange(len(columns)) + 0.5, list(columns), rotation=55, ha="left")
        axes.set_yticks(np.arange(len(rows)) + 0.5, list(rows))
        axes.tick_params(length=0, pad=2, labeltop=True, labelbottom=False, labelcolor=INK)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return svg(figure, name, description)


def scatter_figure(
    name: str, points: Sequence[Sequence[float]], classes: Sequence[int | None], description: str
) -> str:
    """Points in the plane, coloured by class.

    Args:
        name: Unique among the figures of one page.
        points: `[N, 2]`.
        classes: `[N]`, index into the series; None is drawn pale behind the others.
        description: For readers that do not see the figure.

    Returns:
        An `<svg>` element.
    """
    # Whole hundredths: the file is a third of what all digits make.
    places = np.round(np.asarray(points, dtype=float).reshape(-1, 2), 2)
    indices = np.array([-1 if index is None else index for index in classes])
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.0, 3.6)
        for index in np.unique(indices):
            chosen = places[indices == index]
            colour = LINE if index < 0 else SERIES[index % NUM_COLOURS]
            marker = MARKERS[max(index, 0) // NUM_COLOURS % len(MARKERS)]
            axes.plot(*chosen.T, marker, color=colour, markersize=2.6, markeredgewidth=0)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return svg(figure, name, description)
