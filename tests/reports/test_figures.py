import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tdgan_jax.reports.curve_sections import loss_group
from tdgan_jax.reports.figures import (
    Level,
    Series,
    confusion_figure,
    curve_figure,
    last_value,
)


def draw(curves, **options):
    texts = {"x_label": "step", "y_label": "loss", "description": 'a "quoted" <text>'}
    return curve_figure("name", curves, **(texts | options))


def test_curves_are_valid_svg_in_the_pages_colours_and_font():
    svg = draw([Series("a", [0, 1, 2], [1.0, None, 0.5])], level=Level("half", 0.5))
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'a "quoted" <text>'
    assert "var(--series-1, #0072b2)" in svg and "var(--ink" not in svg.split(">")[0]
    assert not re.search(r"#0[1-7]0[0-9]0[0-9]\b", svg), "a stand-in colour was left"
    for unwanted in ("font-family", "<style", "<metadata", "NaN"):
        assert unwanted not in svg
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert all(name.startswith("name-") for name in ids) and len(ids) == len(set(ids))


def test_a_long_curve_stays_a_small_file():
    steps = np.arange(20_000)
    svg = draw([Series("a", steps, np.random.default_rng(0).random(20_000))], smooth=True)
    assert len(svg) < 60_000


@pytest.mark.parametrize(
    ("values", "is_logarithmic"),
    [((1.0, 0.5), False), ((1.0, 0.01), True), ((1.0, 0.0), False), ((1.0, None), False)],
)
def test_the_scale_is_logarithmic_where_curves_lie_far_apart(values, is_logarithmic):
    svg = draw([Series("a", [0, 1], [value, value], index) for index, value in enumerate(values)])
    assert ("log scale" in svg) == is_logarithmic


def test_no_curve_and_no_point_are_no_error():
    ElementTree.fromstring(draw([]))
    ElementTree.fromstring(draw([Series("a", [0], [float("nan")])]))


def test_last_value():
    values = [0.0] * 99 + [1.0]
    assert last_value(Series("a", range(100), values), smooth=False) == 1.0
    # The window of 4 is cut at the end: two earlier values and the last one.
    assert last_value(Series("a", range(100), values), smooth=True) == pytest.approx(1 / 3)
    assert last_value(Series("a", [0], [None]), smooth=True) is None


@pytest.mark.parametrize("size", [2, 7, 12])
def test_confusion_shows_percent_and_counts(size):
    matrix = np.zeros((size, size), dtype=int)
    matrix[0, :2] = 3, 1  # the other classes have no example
    labels = [f"a rather long name {index}" for index in range(size)]
    svg = confusion_figure("name", matrix.tolist(), labels, "description")
    texts = [element.text for element in ElementTree.fromstring(svg).iter() if element.text]
    assert {"75", "25", "3", "1"} <= set(texts)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("face_discriminator_fake", "Discriminators"),
        ("expression_discriminator", "Discriminators"),
        ("expression_discriminator_accuracy", "Accuracy on training batches"),
        ("adversarial_expression", "Generator terms"),
        ("generator", "Generator terms"),
        ("expression_head", "Expression module"),
    ],
)
def test_loss_group(name, group):
    assert loss_group(name) == group
