"""Building blocks of the report's HTML: every function returns a piece of one page.

Arguments named `*_html` are HTML already; all other text is escaped here.
"""

import base64
import importlib.resources
from collections.abc import Iterable, Sequence
from html import escape

from tdgan_jax.reports.drawing import NUM_COLOURS
from tdgan_jax.reports.figures import Series, last_value


def page(title: str, header_html: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """A whole document; `sections` are (anchor, heading, body as HTML)."""
    style = importlib.resources.files("tdgan_jax.reports").joinpath("report.css").read_text()
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in sections)
    body = "\n".join(
        f'<section id="{name}"><h2>{escape(heading)}</h2>\n{content}</section>'
        for name, heading, content in sections
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>{header_html}<nav>{links}</nav></header>\n<main>\n{body}\n</main>\n"
        "<footer>Written by tdgan-jax report.</footer>\n</body>\n</html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table that scrolls sideways inside its own box; the first column stays in view.

    Args:
        heads: Column heads as HTML.
        rows: Cells as HTML; the first one is the row's head.
        kind: "text" for tables of words instead of numbers.
    """
    head_html = "".join(f'<th scope="col">{head}</th>' for head in heads)
    body_html = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}">'
        f"<thead><tr>{head_html}</tr></thead><tbody>{body_html}</tbody></table></div>"
    )


def card(title_html: str, *body_html: str, kind: str = "") -> str:
    """A framed box with a heading."""
    return f'<div class="card {kind}"><h3>{title_html}</h3>{"".join(body_html)}</div>'


def grid(cards: Sequence[str], kind: str = "") -> str:
    """Cards side by side on a wide screen, below each other on a phone."""
    if len(cards) == 1:
        cards = [cards[0].replace('class="card', 'class="card alone', 1)]
    return f'<div class="grid {kind}">{"".join(cards)}</div>'


def legend(curves: Sequence[Series], level: str = "", smooth: bool = False) -> str:
    """Names the curves of a figure, with the last value drawn of each."""
    entries = []
    for curve in curves:
        value = last_value(curve, smooth)
        last = "no value" if value is None else f"<b>{value:.3g}</b>"
        entries.append(f"<li>{swatch(curve.colour)}{escape(curve.label)} {last}</li>")
    if level:
        entries.append(f'<li><span class="swatch dotted"></span>{escape(level)}</li>')
    return f'<ul class="legend">{"".join(entries)}</ul>'


def names_legend(names: Sequence[str]) -> str:
    """Names the classes of a figure of points, which have the colours of the series in order."""
    entries = (f"<li>{_dot(index)}{escape(name)}</li>" for index, name in enumerate(names))
    return f'<ul class="legend">{"".join(entries)}</ul>'


def scrolled(content_html: str) -> str:
    """Wide content in a box of its own that scrolls sideways."""
    return f'<div class="strip" tabindex="0">{content_html}</div>'


def swatch(colour: int) -> str:
    """The short stroke that ties a name to its curve."""
    kind = "swatch dashed" if colour >= NUM_COLOURS else "swatch"
    return f'<span class="{kind}" style="color: var(--series-{colour % NUM_COLOURS + 1})"></span>'


def _dot(colour: int) -> str:
    """The point that ties a name to its class; squares where the colours repeat."""
    kind = "swatch dot square" if colour >= NUM_COLOURS else "swatch dot"
    return f'<span class="{kind}" style="color: var(--series-{colour % NUM_COLOURS + 1})"></span>'


def bars(rows: Sequence[tuple[str, float, bool]]) -> str:
    """Fractions as bars; `rows` are (name, value in 0..1, whether it is the run's own)."""
    return '<div class="bars">{}</div>'.format(
        "".join(
            f'<div class="row{" own" if own else ""}"><span>{escape(name)}</span><b>{value:.3f}</b>'
            f'<div class="track"><span style="width: {100 * min(max(value, 0), 1):.1f}%"></span>'
            "</div></div>"
            for name, value, own in rows
        )
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A line of short facts: (name, value)."""
    items = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in pairs)
    return f'<dl class="facts">{items}</dl>'


def details(summary: str, body_html: str) -> str:
    """A part that unfolds on a click, without a script."""
    return f"<details><summary>{escape(summary)}</summary>{body_html}</details>"


def badge(text: str, caution: bool = False) -> str:
    """A short mark beside a figure."""
    return f'<span class="badge{" caution" if caution else ""}">{escape(text)}</span>'


def lead(text: str) -> str:
    """The sentence below a heading."""
    return f'<p class="lead">{escape(text)}</p>'


def missing(text: str) -> str:
    """Says that something is not there, and why."""
    return f'<p class="missing">{escape(text)}</p>'


def warning(text: str) -> str:
    """Says that a figure needs attention."""
    return f'<p class="warning">{escape(text)}</p>'


def image(content: bytes, media_type: str, description: str) -> str:
    """An image inside the page, as a data URI."""
    encoded = base64.b64encode(content).decode()
    return f'<img alt="{escape(description)}" src="data:{media_type};base64,{encoded}">'
