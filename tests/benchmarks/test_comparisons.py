"""The tables that the scripts print, from figures made up here."""

import pytest

from benchmarks import ablations, cross_dataset, seeds
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UserError


def row(accuracy, **more):
    return {
        "accuracy": accuracy,
        "identity_from_expression": 0.5,
        "identity_from_face": None,
        "information_gap": 0.25,
        "minutes": 3.0,
    } | more


def test_a_row_says_its_command_and_its_difference(tmp_path):
    found = {
        "": {0: row(0.5), 1: row(0.6)},
        "without_consistency": {0: row(0.4), 1: row(0.5)},
        "random_pairing": {1: row(0.75, identity_from_face=0.875)},
    }
    lines = ablations.table(found).splitlines()
    assert len(lines) == 2 + len(ablations.ROWS)
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in lines}
    assert cells["everything"][1:4] == ["2", "0.550 ± 0.071", ""]
    without = cells["without consistency"]
    assert without[2:4] == ["0.450 ± 0.071", "-0.100 (-0.100 to -0.100)"]
    assert without[-1] == (
        "`python launch.py --config configs/tdgan_ablations.py:without_consistency` |"
    )
    pairing = cells["random pairing, anew each epoch"]
    assert pairing[1:4] == ["1", "0.750", "+0.150"] and pairing[5] == "0.875"
    assert cells["without perceptual"][2] == "not yet measured"

    document = tmp_path / "results.md"
    document.write_text(f"before\n{ablations.BEGIN}\nold\n{ablations.END}\nafter\n")
    for _ in range(2):
        ablations.write_table(document, "new\n")
        text = f"before\n{ablations.BEGIN}\nnew\n{ablations.END}\nafter\n"
        assert document.read_text() == text
    document.write_text("no marks")
    with pytest.raises(UserError, match="must hold"):
        ablations.write_table(document, "new")


def test_every_row_has_a_configuration():
    for variant in ablations.ROWS:
        assert load_config(ablations.configuration(variant)).name


def test_seeds_are_compared_pair_by_pair():
    def result(seed, accuracy):
        return {"seed": seed, "classifier": {"accuracy": accuracy}}

    first = [result(0, 0.5), result(1, 0.7)]
    second = [result(0, 0.6), result(1, 0.8), result(2, 0.1)]
    text = seeds.compared(first, second)
    assert text == (
        "+0.100 against the first configuration, 2 pairs, 95 % interval +0.100 to +0.100"
    )
    assert "no seed" in seeds.compared(first, [result(5, 0.5)])


def test_a_cell_says_what_was_compared():
    figures = {
        "accuracy": 0.55,
        "accuracy_interval": {"low": 0.5, "high": 0.6},
        "labels": ["anger", "fear"],
        "confusion_matrix": [[30, 20], [25, 25]],
        "num_examples": 100,
        "own": True,
    }
    other = figures | {"own": False, "accuracy_interval": None, "accuracy": 0.9}
    lines = cross_dataset.table({"run": {"a:test": figures, "b:test": other}}).splitlines()
    assert lines[0] == "| trained | a:test | b:test |"
    assert lines[2] == (
        "| run | (own) 0.550 (0.500 to 0.600); 2 classes, 100 images, near chance "
        "| 0.900; 2 classes, 100 images |"
    )
