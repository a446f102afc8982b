import argparse
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tdgan_jax.cli import report as report_command
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.metrics import cross_validation_summary, recognition_metrics
from tdgan_jax.families.tdgan.step import SAMPLE_COLUMNS
from tdgan_jax.files import read_json, write_json
from tdgan_jax.reports.figures import Series
from tdgan_jax.reports.grids import sample_grid, save_png
from tdgan_jax.reports.report import distinct_names, write_report
from tdgan_jax.reports.sample_sections import spread_out
from tdgan_jax.reports.settings_sections import flattened
from tdgan_jax.runs import folder as run_folder

NAMES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
SHARES = (0.08, 0.06, 0.05, 0.39, 0.22, 0.14, 0.06)
GENERATOR_TERMS = {
    "adversarial_face": (2.8, 1.6),
    "adversarial_expression": (1.9, 0.7),
    "perceptual": (0.4, 0.12),
    "consistency_face": (0.3, 0.05),
    "consistency_expression": (0.32, 0.07),
}
OTHER_LOSSES = {
    "face_discriminator_real": (2.9, 0.4),
    "face_discriminator_fake": (2.9, 0.2),
    "expression_discriminator": (1.9, 0.5),
    "expression_head": (1.95, 0.9),
    "expression_head_accuracy": (0.2, 0.6),
    "generated_expression_accuracy": (0.15, 0.5),
}


def drawn_face(generator, size=64, mood=0.0, blur=0.0):
    """A gray face; `mood` bends the mouth from sad (-1) to happy (1)."""
    image = Image.new("L", (size, size), int(generator.integers(60, 110)))
    draw = ImageDraw.Draw(image)
    width, skin = generator.uniform(0.3, 0.36) * size, int(generator.integers(150, 215))
    middle = size / 2
    draw.ellipse((middle - width, size * 0.1, middle + width, size * 0.95), fill=skin)
    for side in (-1, 1):
        eye = middle + side * width * 0.45
        draw.ellipse((eye - 4, size * 0.4, eye + 4, size * 0.47), fill=250)
        draw.ellipse((eye - 2, size * 0.41, eye + 2, size * 0.46), fill=20)
    bend = mood * size * 0.09
    mouth = [
        (middle + t * width * 0.5, size * 0.74 + bend * (0.6 - t * t)) for t in np.linspace(-1, 1)
    ]
    draw.line(mouth, fill=70, width=2)
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(image, dtype=np.float32)[..., None] / 255


def drawn_figures(generator, quality, count=600):
    labels = np.random.default_rng(count).choice(len(NAMES), size=count, p=SHARES)
    logits = generator.normal(size=(count, len(NAMES)))
    logits[np.arange(count), labels] += quality
    logits[:, 3] += 0.6  # happiness attracts the doubtful ones
    return recognition_metrics(labels, logits, NAMES)


def drawn_result(generator, quality, seed, selected_on):
    def both(shift):
        return {
            "expression_module": drawn_figures(generator, quality + shift),
            "expression_discriminator": drawn_figures(generator, quality + shift + 0.6),
        }

    result = both(0.0) | {
        "selected_on": selected_on,
        "step": 980,
        "epoch": 8,
        "seconds": 2412.5,
        "seed": seed,
        "yardsticks": {"ridge_regression_on_pixels": 0.31, "frozen_random_encoder": 0.28},
        "by_selection": {
            "last": both(-0.1) | {"step": 1200, "epoch": 9},
            "validation": both(0.0) | {"step": 980, "epoch": 8},
            "test": both(0.2) | {"step": 840, "epoch": 6},
        },
    }
    result["expression_module"]["without_duplicates"] = drawn_figures(generator, quality, 580)
    return result


def draw_run(folder, seed=0, quality=1.6, selected_on="validation", num_records=100, size=64):
    """A run folder as the training loop leaves it: made-up curves, drawn pictures."""
    generator = np.random.default_rng(seed)
    config = {
        "seed": seed,
        "model": {"width_multiplier": 0.25, "image_size_px": size, "noise_channels": 256},
        "optimizer": {"learning_rate": 1e-4 * (1 + seed), "betas": [0.9, 0.999]},
        "losses": {"identity_weight": 0.2, "expression_weight": 0.8, "consistency_weight": 5.0},
        "data": {"expressions": "fer2013", "faces": "att_faces", "pairing": "fixed"},
        "selection": selected_on,
    }
    write_json(folder / "config.json", config)
    write_json(folder / "environment.json", run_folder.environment(["TFRT_CPU_0"]))
    log = run_folder.MetricsLog(folder / "metrics.jsonl")
    for index in range(num_records):
        step, epoch = 6 * (index + 1), index * 10 // num_records
        done = index / num_records
        losses = {
            name: float((end + (start - end) * np.exp(-4 * done)) * generator.lognormal(0, 0.18))
            for name, (start, end) in (OTHER_LOSSES | GENERATOR_TERMS).items()
        }
        record = {"step": step, "epoch": epoch, "images_per_second": 26.0, "losses": losses}
        if index % (num_records // 10) == num_records // 10 - 1:
            strength = quality * (1 - np.exp(-3 * (done + 0.05)))
            record["evaluation"] = {
                split: {
                    "expression_module": drawn_figures(generator, strength, 300),
                    "expression_discriminator": drawn_figures(generator, strength + 0.5, 300),
                }
                for split in ("validation", "test")
            }
        log.append(record)
    write_json(folder / "result.json", drawn_result(generator, quality, seed, selected_on))
    for epoch in range(8):
        blur = 4.0 / (1 + epoch)
        columns = [
            np.stack([drawn_face(generator, size, mood, made) for _ in range(3)])
            for mood, made in ((0, 0), (1, 0), (1, blur), (0, blur), (1, blur))
        ]
        sheet = sample_grid(columns, titles=SAMPLE_COLUMNS)
        save_png(sheet, run_folder.sample_path(folder, epoch, 120 * (epoch + 1)))
    return folder


class _Structure(HTMLParser):
    """Checks that elements close in the order they opened; collects ids, texts, addresses."""

    VOID = {"meta", "img", "br", "hr"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.addresses, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.addresses += [
            attributes[key] for key in ("src", "href", "xlink:href") if key in attributes
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def parsed(path):
    structure = _Structure()
    structure.feed(Path(path).read_text())
    assert structure.open == []
    return structure


def text_of(path):
    return " ".join(" ".join(parsed(path).text).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return draw_run(tmp_path_factory.mktemp("runs") / "tdgan_fer2013" / "seed_0")


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    return draw_run(
        tmp_path_factory.mktemp("runs") / "tdgan_raf" / "seed_1",
        seed=1,
        quality=0.9,
        selected_on="test",
        num_records=50,
    )


def test_one_self_contained_file(run):
    path = write_report([run])
    assert path == run / "report.html"
    page = parsed(path)
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    inside = {f"#{name}" for name in page.ids}
    for address in page.addresses:
        assert address in inside or address.startswith("data:image/")
    source = path.read_text()
    assert not re.search(r"<script|@import|@font-face|url\((?!#)", source)
    assert set(re.findall(r"url\((#[^)]+)\)", source)) <= inside
    assert "prefers-color-scheme: dark" in source and 'name="viewport"' in source
    assert path.stat().st_size < 2_000_000


def test_the_same_run_gives_the_same_file(other_run, tmp_path):
    first = write_report([other_run], tmp_path / "a.html").read_bytes()
    assert write_report([other_run], tmp_path / "b.html").read_bytes() == first


def test_report_of_one_run_says_everything(run, tmp_path):
    text = text_of(write_report([run], tmp_path / "report.html"))
    result = read_json(run / "result.json")
    for recogniser in ("expression_module", "expression_discriminator"):
        for figure in ("accuracy", "mean_class_accuracy", "macro_f1"):
            assert f"{result[recogniser][figure]:.3f}" in text
            assert f"{result['by_selection']['test'][recogniser][figure]:.3f}" in text
    rest = result["expression_module"]["without_duplicates"]
    assert f"{rest['accuracy']:.3f}" in text and "also stand in training" in text
    assert "validation part of the training data" in text
    assert "optimistic: chosen on the test split" in text
    assert "Ridge regression on pixels" in text and "0.310" in text
    assert "Always answering “happiness”" in text
    assert "Epoch 0, step 120" in text and "Epoch 7, step 960" in text
    assert "optimizer.learning_rate" in text and "TFRT_CPU_0" in text
    assert "40 min 12 s" in text
    for name in OTHER_LOSSES | GENERATOR_TERMS:
        assert name.replace("_", " ") in text
    assert "nan" not in text.lower().split()


def test_several_runs_side_by_side(run, other_run, tmp_path):
    path = write_report([run, other_run], tmp_path / "both.html")
    parsed(path)
    text = text_of(path)
    assert "tdgan_fer2013/seed_0 · tdgan_raf/seed_1" in text
    differences = text[text.index("Differences") : text.index("All fields")]
    assert "selection" in differences and "losses.identity_weight" not in differences
    assert "test, optimistic" in text
    for folder in (run, other_run):
        accuracy = read_json(folder / "result.json")["expression_module"]["accuracy"]
        assert f"{accuracy:.3f}" in text


def test_pieces_that_are_missing_are_named(tmp_path):
    folder = tmp_path / "young"
    write_json(folder / "config.json", {"seed": 0})
    text = text_of(write_report([folder]))
    for words in ("no result.json", "no metrics.jsonl", "no sample sheet", "No environment.json"):
        assert words in text
    assert "No evaluation yet" in text and "not finished" in text


def test_a_running_run_shows_its_last_evaluation(run, tmp_path):
    folder = tmp_path / "running"
    folder.mkdir()
    (folder / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes() + b'{"step": 9')
    text = text_of(write_report([folder]))
    assert "validation split after epoch 9, run not finished" in text


def test_fields_outside_the_plan_do_no_harm(tmp_path):
    folder = tmp_path / "odd"
    log = run_folder.MetricsLog(folder / "metrics.jsonl")
    log.append({"step": 0, "epoch": 0, "losses": {"strange<loss>": float("nan")}})
    log.append({"step": 1, "epoch": 0, "losses": {"zero": 0.0, "large": 1e6}})
    write_json(folder / "result.json", {"classifier": {"accuracy": 1}, "epoch": 0})
    write_json(folder / "config.json", {"<b>": {"empty": {}, "none": None}})
    (folder / "samples").mkdir()
    (folder / "samples" / "torn.png").write_bytes(b"\x89PNG")
    text = text_of(write_report([folder]))
    assert "torn.png cannot be read" in text
    assert "strange<loss>" in text and "<b>.none" in text


def test_a_result_no_better_than_the_most_frequent_class_is_marked(tmp_path):
    figures = recognition_metrics(np.array([0, 0, 1]), np.eye(2)[[1, 0, 0]], ["anger", "fear"])
    write_json(tmp_path / "result.json", {"classifier": figures})
    text = text_of(write_report([tmp_path]))
    assert "no better than always answering “anger” (0.667)" in text


def draw_folds(folder, quality=1.5, selected_on="validation"):
    """A finished cross-validation of three folds as `cross_validate` leaves it, without curves."""
    generator = np.random.default_rng(0)
    results = {}
    for fold in range(3):
        result = drawn_result(generator, quality, 0, selected_on)
        result["subjects"] = {"training": ["ann"], "validation": [], "test": [f"person {fold}"]}
        results[f"fold_{fold}"] = result
        write_json(folder / f"fold_{fold}" / "result.json", result)
    summary = cross_validation_summary(results) | {
        "selected_on": selected_on,
        "by_selection": {
            selection: cross_validation_summary(
                {name: result["by_selection"][selection] for name, result in results.items()}
            )
            for selection in ("last", "validation", "test")
        },
        "validation": "next_fold",
        "subjects_disjoint": True,
        "subjects": {name: result["subjects"] for name, result in results.items()},
        "steps": 2940,
        "seconds": 7237.5,
    }
    write_json(folder / "cross_validation.json", summary)
    config = {"seed": 0, "data": {"num_folds": 3, "fold": -1}}
    write_json(folder / "config.json", config)
    return folder, summary


def test_cross_validation_shows_folds_summary_and_subjects(tmp_path):
    folder, summary = draw_folds(tmp_path / "folds", selected_on="test")
    path = write_report([folder])
    page = parsed(path)
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    text = text_of(path)
    assert "Cross-validation, 3 folds" in text and "2 h 0 min" in text and "2,940" in text
    accuracy = summary["expression_module"]["accuracy"]
    for value in (*accuracy["per_fold"], accuracy["mean"], accuracy["pooled"]):
        assert f"{value:.3f}" in text
    last = summary["by_selection"]["last"]["expression_discriminator"]["accuracy"]
    assert f"{last['mean']:.3f} ± {last['standard_deviation']:.3f}" in text
    assert "Models chosen on: test split, optimistic" in text
    assert "the fold after the test fold validates" in text
    assert "no subject stands in two parts of a fold" in text and "person 2" in text
    assert "Expression module, all folds" in text
    figures = summary["expression_module"]["pooled"]
    assert f"{figures['per_class']['fear']['recall']:.3f}" in text
    assert "data.num_folds" in text and "Differences" not in text


def test_folds_that_are_missing_are_named(tmp_path):
    folder, _ = draw_folds(tmp_path / "folds")
    (folder / "cross_validation.json").unlink()
    (folder / "fold_1" / "result.json").unlink()
    text = text_of(write_report([folder]))
    assert "2 of 3 folds finished" in text and "not all folds are finished" in text
    assert "fold_1: no result.json yet" in text


def test_cross_validations_side_by_side(run, tmp_path):
    first, summary = draw_folds(tmp_path / "one")
    second, other = draw_folds(tmp_path / "two", quality=0.7)
    path = write_report([first, second], tmp_path / "both.html")
    page = parsed(path)
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    text = text_of(path)
    for figures in (summary, other):
        assert f"{figures['expression_module']['accuracy']['mean']:.3f}" in text
    assert "Comparison of 2 runs" in text and "not finished" not in text
    # A single run beside a cross-validation has the sections of a run.
    mixed = text_of(write_report([run, first], tmp_path / "mixed.html"))
    assert "Cross-validation" in mixed and "Accuracy over the epochs" in mixed


def test_more_curves_than_colours_are_told_apart_by_dashes():
    assert not Series("fold_7", [0], [0], colour=7).dashed
    assert Series("fold_8", [0], [0], colour=8).dashed


def test_large_sample_sheets_become_smaller_files(tmp_path):
    noise = np.random.default_rng(0).random((3, 256, 256, 3))
    sheet = sample_grid([noise] * 5)
    save_png(sheet, run_folder.sample_path(tmp_path, 0, 1))
    write_json(tmp_path / "config.json", {})
    path = write_report([tmp_path])
    assert "data:image/jpeg" in path.read_text()


def test_distinct_names():
    def names(*paths):
        return distinct_names([Path(path) for path in paths])

    assert names("/r/demo") == ["demo"]
    assert names("/r/tdgan/seed_0") == ["tdgan/seed_0"]
    assert names("/r/tdgan/seed_0", "/r/tdgan/seed_1") == ["seed_0", "seed_1"]
    assert names("/r/a/seed_0", "/r/b/seed_0") == ["a/seed_0", "b/seed_0"]
    assert names("/r/a/seed_0", "/r/b/seed_1") == ["a/seed_0", "b/seed_1"]
    assert names("/r/demo", "/r/demo", "/r/other") == ["demo", "demo (2)", "other"]


def test_spread_out_and_flattened():
    assert spread_out([1, 2], 5) == [1, 2]
    assert spread_out(list(range(10)), 4) == [0, 3, 6, 9]
    assert flattened({"a": {"b": 1, "c": {}}, "d": None}) == {"a.b": 1, "a.c": {}, "d": None}


def command(*arguments):
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    report_command.add_parser(subparsers)
    return report_command.run(parser.parse_args(["report", *map(str, arguments)]))


@pytest.fixture
def young_run(tmp_path):
    write_json(tmp_path / "young" / "config.json", {"seed": 0})
    return tmp_path / "young"


def test_command_writes_into_the_first_run_and_rewrites_it(young_run, capsys):
    assert command(young_run) == 0
    assert command(young_run) == 0
    assert command(young_run, "--out", young_run / "report.html") == 0
    assert capsys.readouterr().out.splitlines() == [str(young_run / "report.html")] * 3


def test_command_says_that_pictures_are_those_of_single_folds(young_run, tmp_path, capsys):
    write_json(tmp_path / "fold_0" / "config.json", {"seed": 0})
    assert command(tmp_path, "--pictures") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'report.html'}\n"
    assert printed.err == (
        f"tdgan-jax: {tmp_path} is a cross-validation; pictures are drawn for single folds: "
        f"tdgan-jax report {tmp_path / 'fold_0'} --pictures\n"
    )


def test_command_refuses_an_existing_file(young_run, tmp_path):
    out = tmp_path / "new" / "both.html"
    assert command(young_run, "--out", out) == 0
    with pytest.raises(UserError, match="--overwrite"):
        command(young_run, "--out", out)
    assert command(young_run, "--out", out, "--overwrite") == 0
    with pytest.raises(UserError, match="is a folder"):
        command(young_run, "--out", tmp_path)


def test_command_refuses_what_is_no_run(tmp_path):
    with pytest.raises(UserError, match="no run folder"):
        command(tmp_path)
    assert list(tmp_path.iterdir()) == []
