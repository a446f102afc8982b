"""What the report shows beside accuracy: comparisons, calibration, probes, pictures of a model."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.evaluation.intervals import interval_fields, subject_counts
from tdgan_jax.evaluation.metrics import recognition_metrics
from tdgan_jax.files import read_json, write_json
from tdgan_jax.reports.comparison_sections import compared, repetitions
from tdgan_jax.reports.report import write_report
from tdgan_jax.runs.folder import read_run

NAMES = ("anger", "fear", "happiness")
SUBJECTS = np.repeat([f"S{index}" for index in range(10)], 12)


class _Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def parsed(path):
    page = _Text()
    page.feed(path.read_text())
    return " ".join(" ".join(page.words).split()), page.addresses


def finish_run(folder, *, seed, skill, **config):
    """A run with a result alone; `skill` is the share of right answers, alike for all subjects."""
    labels = np.arange(120) % 3
    hard = np.random.default_rng(seed).random(120)  # of one seed, the same for all configurations
    correct = hard < skill
    logits = np.eye(3)[np.where(correct, labels, (labels + 1) % 3)] * 2.0
    figures = recognition_metrics(labels, logits, NAMES) | {
        "accuracy_interval": interval_fields(correct, SUBJECTS, unit="subject"),
        "per_subject": subject_counts(correct, SUBJECTS),
    }
    result = {"classifier": figures, "selected_on": "validation", "epoch": 1, "seed": seed}
    write_json(folder / "result.json", result)
    write_json(folder / "config.json", {"seed": seed, **config})
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return [
        finish_run(root / name / f"seed_{seed}", seed=seed, skill=skill, name=name)
        for name, skill in (("plain", 0.6), ("better", 0.8))
        for seed in (0, 1, 2)
    ]


def test_seeds_are_repetitions_and_pairs(runs, tmp_path):
    groups = repetitions({f"{run.parent.name} {run.name}": read_run(run) for run in runs})
    assert [len(group.accuracy) for group in groups] == [3, 3]
    found = compared(*groups)
    assert found is not None and (found.num_pairs, found.unit) == (3, "seed")
    differences = [b - a for a, b in zip(*(g.accuracy.values() for g in groups), strict=True)]
    assert found.mean == pytest.approx(np.mean(differences))

    text, _ = parsed(write_report(runs, tmp_path / "report.html"))
    assert f"{found.mean:+.3f} {found.low:+.3f} to {found.high:+.3f} 3 seeds" in text
    # What differs stands before how well it does.
    assert text.index("Field plain/seed_0") < text.index("Paired differences") < text.index("Model")
    assert f"{np.std(list(groups[0].accuracy.values()), ddof=1):.3f}" in text


def test_single_runs_are_compared_on_the_same_people(runs):
    groups = repetitions({"plain": read_run(runs[0]), "better": read_run(runs[3])})
    found = compared(*groups)
    assert found is not None and (found.num_pairs, found.unit) == (10, "subject")
    assert found.low is not None and found.low > 0
    elsewhere = groups[1]._replace(per_subject={"T0": [1, 12], "T1": [2, 12]})
    alone = compared(groups[0], elsewhere)
    assert alone is not None and (alone.num_pairs, alone.low) == (1, None)


def test_folds_are_compared_with_the_corrected_interval(tmp_path):
    data = {"num_folds": 3, "validation": "none"}
    folds = [
        finish_run(
            tmp_path / f"{name}_{fold}",
            seed=fold,
            skill=skill,
            name=name,
            data=data | {"fold": fold},
        )
        for name, skill in (("plain", 0.6), ("better", 0.8))
        for fold in range(3)
    ]
    for run in folds:  # one seed each, whatever made their answers differ
        config = read_json(run / "config.json")
        write_json(run / "config.json", config | {"seed": 0})
    groups = repetitions({run.name: read_run(run) for run in folds})
    assert [group.test_over_train for group in groups] == [0.5, 0.5]
    found = compared(*groups)
    values = [list(group.accuracy.values()) for group in groups]
    differences = np.subtract(values[1], values[0])
    deviation = np.std(differences, ddof=1)
    reach = 4.302653 * deviation * np.sqrt(1 / 3 + 1 / 2)
    assert found is not None and found.unit == "fold"
    assert found.high == pytest.approx(differences.mean() + reach)
    text, _ = parsed(write_report(folds, tmp_path / "report.html"))
    assert "corrected resampled t-test" in text and f"{found.low:+.3f} to {found.high:+.3f}" in text


def probed(accuracy):
    result = {"accuracy": accuracy, "chance": 0.25, "information": accuracy / 2}
    return {"linear": result, "mlp": result}


def test_what_was_measured_and_drawn_of_a_model_is_shown(tmp_path):
    run = finish_run(tmp_path / "run", seed=0, skill=0.7)
    text, _ = parsed(write_report([run]))
    assert "bootstrap over 10 subjects" in text and "expected calibration error" in text
    for words in ("not measured", "No maps", "No errors shown", "No interpolation"):
        assert words in text

    feature = {"expression": probed(0.875), "identity": probed(0.625)}
    factors = {"identity/hair": 0.5, "identity/nose": -0.5, "style/light": None}
    write_json(
        run / "disentanglement.json",
        {
            "settings": {"dataset": ["synthetic_faces/64", "train", "test"]},
            "accuracy": 0.7,
            "matrix": {name: feature | {"factors": factors} for name in ("expression", "random")},
            "summary": {"information_gap": 0.125, "identity_leakage": None},
            "transfer": {
                "copy_face": dict.fromkeys(
                    ("expression_right", "identity_right", "both_right"), 0.375
                )
            },
        },
    )
    maps = {"maps": {"expression": [[0.0, 1.0], [1.0, -0.5], [0.5, 0.5]]}}
    maps |= {"expression_names": NAMES, "expressions": [0, 1, 2], "people": ["ann", "ben", "ann"]}
    write_json(run / "pictures" / "features.json", maps)
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, format="PNG")
    error = {"file": "x<y>.png", "answer": "fear", "truth": "anger", "confidence": 0.987}
    error["png"] = base64.b64encode(buffer.getvalue()).decode()
    errors = {"recogniser": "classifier", "errors": [error]}
    write_json(run / "pictures" / "errors.json", errors)
    (run / "pictures" / "interpolation.png").write_bytes(buffer.getvalue())

    text, addresses = parsed(write_report([run]))
    assert "0.62" in text and "0.88" in text and "identity factors" in " ".join(text.split())
    assert "copy face 0.375 0.375 0.375" in text and "0.125" in text
    assert "Expression feature, by person" in text and "ann" in text
    assert "fear, 0.99" in text and "is anger" in text and "x<y>.png" in text
    assert sum(address.startswith("data:image/png") for address in addresses) == 2
    assert all(address[0] == "#" or address.startswith("data:") for address in addresses)
