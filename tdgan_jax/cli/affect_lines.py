"""Figures of valence and arousal as text, for the commands that print results."""

from collections.abc import Mapping
from typing import Any

TITLES = {
    "ccc": "concordance",
    "rmse": "RMSE",
    "pearson": "Pearson",
    "sign_agreement": "same sign",
}


def affect_lines(figures: Mapping[str, Any]) -> list[str]:
    """A recogniser's figures of valence and arousal, a line each; none where it has none."""
    lines = []
    for dimension, of_one in figures.get("affect", {}).items():
        cells = [
            f"{title} {'-' if of_one[name] is None else format(of_one[name], '.4f')}"
            for name, title in TITLES.items()
        ]
        if interval := of_one["ccc_interval"]:
            cells[0] += f" ({interval['low']:.4f} to {interval['high']:.4f})"
        lines.append(f"{dimension} {', '.join(cells)}, {of_one['num_examples']} images")
    return lines
