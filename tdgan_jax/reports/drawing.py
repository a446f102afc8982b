"""What all figures of the report share: colours, style, and the way to inline SVG.

matplotlib draws with its SVG canvas through the object API (no pyplot, no global
figure). Every colour drawn is a stand-in that is replaced by a CSS variable with a fallback, so
that one figure serves light and dark pages, and text stays text in the page's own font. Figures
are drawn for a card about 340 px wide, the width of a phone.
"""

import io
import re
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

NUM_COLOURS = 8

# Stand-in -> CSS. The fallbacks are the light page's colours; series 1-8 are Okabe and Ito's
# colour-blind safe set, darkened where they would be pale on white.
INK, MUTED, LINE, HEAT, ON_HEAT = "#010101", "#020202", "#030303", "#040404", "#050505"
SERIES = tuple(f"#0700{index:02d}" for index in range(1, NUM_COLOURS + 1))
_FALLBACKS = (
    "#0072b2",
    "#d55e00",
    "#00875f",
    "#b0558b",
    "#a87400",
    "#3f9fd4",
    "#6b6b6b",
    "#7a4b1e",
)
_THEME = {
    INK: "var(--ink, #1f2430)",
    MUTED: "var(--muted, #5c6473)",
    LINE: "var(--line, #dedbd4)",
    HEAT: "var(--heat, #0b4f8a)",
    ON_HEAT: "var(--on-heat, #ffffff)",
} | {
    stand_in: f"var(--series-{index}, {fallback})"
    for index, (stand_in, fallback) in enumerate(zip(SERIES, _FALLBACKS, strict=True), start=1)
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",  # same input, same file
    "font.size": 8.0,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}


def blank(width_inch: float, height_inch: float) -> tuple[Figure, Axes]:
    """An empty figure with axes, both transparent."""
    figure = Figure(figsize=(width_inch, height_inch), layout="constrained")
    axes = figure.add_subplot()
    figure.patch.set_visible(False)  # the card's own background shows
    axes.patch.set_visible(False)
    return figure, axes


def svg(figure: Figure, name: str, description: str) -> str:
    """A figure as an `<svg>` element in the colours of the page.

    Args:
        figure: Drawn with the stand-in colours, under `STYLE`.
        name: Unique among the figures of one page.
        description: For readers that do not see the figure.
    """
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(
        buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    body = buffer.getvalue()
    box = re.search(r'viewBox="([^"]+)"', body)
    assert box is not None
    body = body[body.index(">", body.index("<svg")) + 1 : body.rindex("</svg>")]
    # The stylesheet of an inline SVG would apply to the whole page.
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;]*; ?", "", body)  # the page's font
    # Ids must be unique in a page of many figures.
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body)
    for stand_in, css in _THEME.items():
        body = body.replace(stand_in, css)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box.group(1)}" role="img" aria-label="{_attribute(description)}" '
        f'style="stroke-linejoin: round">{body}</svg>'
    )


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
