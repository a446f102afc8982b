"""Every configuration file loads in every variant, and the documentation lists it."""

import inspect
import math
import re
import runpy
from pathlib import Path

import pytest

from tdgan_jax.configuration import flatten, load_config, to_json
from tdgan_jax.data.builders import known_datasets
from tdgan_jax.errors import UsageError
from tdgan_jax.families.emotion_gcn.networks import make_emotion_gcn
from tdgan_jax.families.fields import default_fields, impossible_value, new_config
from tdgan_jax.families.ifgan.networks import make_ifgan
from tdgan_jax.families.ifgan.objective import Objective
from tdgan_jax.families.image_training import normalisation_of
from tdgan_jax.families.known import NAMES, family_named
from tdgan_jax.families.loop_fields import SHARED_LIMITS
from tdgan_jax.families.tdgan.training import classifier_stages
from tdgan_jax.training.checks import check_values
from tdgan_jax.training.selection import selection_score

ROOT = Path(__file__).parent.parent
LIST = ROOT / "docs" / "configurations.md"
FILES = {
    path.stem: path
    for path in sorted((ROOT / "configs").glob("*.py"))
    if "def get_config(" in path.read_text()
}
ABLATIONS = runpy.run_path(str(FILES["tdgan_ablations"]))
VARIANTS = {
    "tdgan_ablations": ("", *ABLATIONS["VARIANTS"]),
    "tdgan_synthetic": ("", "tiny", "long", "long_released", "visible"),
    "tdgan_fer2013": ("", "tiny", "cpu", "cpu_released", "around_a_classifier"),
    "classifier_fer2013": ("", "tiny", "cpu"),
    "recogniser_ferplus": ("", "tiny", "larger", "votes", "labels"),
    "recogniser_image_folder": ("", "tiny", "by_image"),
    "classifier_synthetic": ("", "tiny", "long", "ablations", "judge"),
    "emotion_gcn_synthetic": ("", "multi_task", "single_task", "random_vectors", "tiny"),
    "emotion_gcn_affectnet": (
        *("", "multi_task", "single_task", "tiny"),
        *("bregnext", "bregnext_multi_task", "bregnext_single_task"),
    ),
    "emotion_gcn_affwild2": ("", "bregnext", "multi_task", "single_task", "tiny"),
    "tdgan_image_folder": ("", "tiny", "cpu"),
    "tdgan_yale": ("", "tiny", "probes"),
    "classifier_yale": ("", "tiny", "probes"),
    "ma_net_synthetic": ("", "plain", "acting", "tiny"),
    "ma_net_raf": ("", "plain", "acting", "tiny"),
    "ma_net_ferplus": ("", "plain", "acting", "cpu", "tiny"),
    "ma_net_affectnet": ("", "plain", "plain_seven", "acting", "tiny"),
    "esr_synthetic": ("", "plain", "attention", "acting", "tiny"),
    "esr_affectnet": ("", "plain", "attention", "acting", "affect", "tiny"),
    "esr_ferplus": ("", "plain", "attention", "acting", "cpu", "tiny"),
    "esr_raf": ("", "plain", "attention", "acting", "tiny"),
} | {
    name: ("", "baseline", "without_attention", "tiny")
    for name in FILES
    if name.startswith("ifgan")
}
TDGAN_PAPER = {
    "tdgan_ck_plus": "97.53",
    "tdgan_tfeid": "97.20",
    "tdgan_rafd": "99.32",
    "tdgan_baum2i": "65.76",
    "tdgan_raf": "81.91",
}
IFGAN_PAPER = {
    "ifgan_bu3dfe": "85.25",
    "ifgan_ck_plus": "97.52",
    "ifgan_mmi": "75.48",
    "ifgan_raf": "88.33",
}


@pytest.mark.parametrize("name", FILES)
def test_every_variant_loads_and_its_values_are_possible(name):
    for variant in VARIANTS.get(name, ("", "tiny")):
        config = load_config(f"{FILES[name]}:{variant}" if variant else str(FILES[name]))
        assert config.name == "_".join(filter(None, (name, variant)))
        check_values(config)
        assert to_json(config)["name"] == config.name
        # What an older run lacks is taken from there, and what is not there is refused.
        assert flatten(config).keys() == flatten(default_fields(config.family)).keys()
    with pytest.raises(UsageError, match="unknown variant 'tinny'; did you mean 'tiny'"):
        load_config(f"{FILES[name]}:tinny")


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("tdgan")])
def test_both_datasets_have_builders_and_a_tiny_run_is_small(name):
    config = load_config(f"{FILES[name]}:tiny")
    assert {config.data.faces.dataset, config.data.expressions.dataset} <= set(known_datasets())
    assert config.model.width_multiplier < 0.1 and config.training.epochs == 2


DIVERSIFIED_PAPER = {
    f"{system}_{dataset}": figure
    for system in ("esr", "ma_net")
    for dataset, figure in (("raf", "89.99"), ("ferplus", "89.34"), ("affectnet", "60.02"))
}
PAPERS = TDGAN_PAPER | IFGAN_PAPER | DIVERSIFIED_PAPER | {"emotion_gcn_affectnet": "66.46"}


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_figure_stands_beside_what_was_measured(name):
    figure = PAPERS[name]
    assert f"Paper: {figure} %" in FILES[name].read_text()
    row = re.search(rf"^\| `{name}` \|.*$", LIST.read_text(), re.MULTILINE)
    assert row and f"(paper: {float(figure) / 100:.4f})" in row[0]


@pytest.mark.parametrize("name", FILES)
def test_every_configuration_has_a_figure_or_says_that_it_has_none(name):
    text = " ".join(FILES[name].read_text().split('"""')[1].split())
    rows = re.findall(rf"^\| `{name}[`:].*$", LIST.read_text(), re.MULTILINE)
    assert rows
    for said in (text, *(row.split("|")[-2] for row in rows)):
        figures = re.search(r"\b0\.\d{3}\b|\]\(results\.md", said)
        assert figures or "ot yet measured" in said or "docs/results.md" in said, said


@pytest.mark.parametrize("name", ["tdgan_ck_plus", "tdgan_tfeid", "tdgan_rafd", "tdgan_baum2i"])
def test_the_sets_of_the_laboratory_follow_the_papers_protocol(name):
    config = load_config(str(FILES[name]))
    assert config.data.faces.dataset == "casia_webface" and config.data.num_folds == 10
    assert config.data.test_transform == "centre_crop" and config.data.fold == -1
    assert config.evaluation.selection == "validation"
    released = ["data.validation=none", "evaluation.selection=test"]
    check_values(load_config(str(FILES[name]), released))


@pytest.mark.parametrize("name", ["tdgan_yale", "classifier_yale"])
def test_the_people_to_probe_are_no_part_of_the_training(name):
    config = load_config(f"{FILES[name]}:probes")
    source = config.data.expressions
    train, probed = (set(split.split("+")) for split in (source.train_split, source.test_split))
    assert not train & probed
    assert train | probed == {f"fold_{number}" for number in range(10)}
    assert config.data.num_folds == 0


def test_ifgans_fields_have_the_specifications_values():
    config = new_config("ifgan")
    assert config.loss.to_dict() == Objective()._asdict()
    defaults = inspect.signature(make_ifgan).parameters
    assert config.model.to_dict() == {
        name: defaults[name].default for name in defaults if name not in ("num_expressions", "rngs")
    }
    sizes = (config.training.batch_size, config.training.epochs, config.optimizer.adam_beta2)
    assert sizes == (50, 100, 0.99)


@pytest.mark.parametrize("name", IFGAN_PAPER)
def test_ifgans_experiments_follow_the_papers_protocol(name):
    config = load_config(str(FILES[name]))
    has_folds = name != "ifgan_raf"
    assert config.data.num_folds == (10 if has_folds else 0)
    assert config.data.validation == ("next_fold" if has_folds else "subjects")
    averaged = set(filter(None, config.data.average_identity_datasets.split(",")))
    posed = {f"{dataset}/with_neutral" for dataset in ("bu3dfe", "ck_plus", "mmi")}
    assert averaged == (set() if has_folds else posed)
    # What the docstring gives for the paper's additional data names prepared datasets.
    (named,) = re.findall(r"additional_training_datasets=([\w,/]+)", FILES[name].read_text())
    others = {text.partition("/")[0] for text in named.split(",")}
    assert others == {"bu3dfe", "ck_plus", "mmi", "raf_db"} - {config.data.expressions.dataset}
    assert not load_config(f"{FILES[name]}:baseline").model.has_generator
    assert not load_config(f"{FILES[name]}:without_attention").model.decoder_attention_level


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(("esr", "ma_net"))])
def test_ensembles_and_ma_net_have_the_specifications_values(name):
    config = load_config(str(FILES[name]))
    optimizer, schedule = config.optimizer, config.schedule
    assert (optimizer.kind, optimizer.momentum, schedule.kind) == ("sgd", 0.9, "step")
    if name.endswith(("synthetic", "ck_plus")):
        return
    system, dataset = name.rsplit("_", 1)
    expected = {
        ("ma_net", "affectnet"): (20, 128, 0.01, 1e-4, 0.1, 5, "capped"),
        ("ma_net", "ferplus"): (100, 32, 0.01, 1e-4, 0.1, 15, "capped"),
        ("ma_net", "raf"): (100, 128, 0.01, 1e-4, 0.1, 15, "all"),
        ("esr", "affectnet"): (50 + 8 * 20, 32, 0.1, 0.0, 0.5, 10, "capped"),
        ("esr", "ferplus"): (100 + 8 * 60, 32, 0.1, 0.0, 0.75, 10, "capped"),
        ("esr", "raf"): (100 + 8 * 60, 32, 0.1, 0.0, 0.75, 10, "all"),
    }[system, dataset]
    training = (config.training.epochs, config.training.batch_size, schedule.learning_rate)
    decays = (optimizer.weight_decay, schedule.decay, schedule.decay_epochs)
    assert (*training, *decays, config.data.sampling) == expected
    assert config.data.channel_order == ("rgb" if dataset == "raf" else "bgr")
    assert config.model.image_size_px == {"esr": 96, "ma_net": 224}[system]
    assert config.loss.diversity == "released" and config.data.class_cap == 5000
    assert config.training.start_weights == ""


def test_emotion_gcns_fields_are_those_of_its_networks_and_the_released_program():
    config = new_config("emotion_gcn")
    defaults = inspect.signature(make_emotion_gcn).parameters
    made = ("num_expressions", "adjacency", "word_vectors", "rngs")
    assert config.model.to_dict() == {
        name: defaults[name].default for name in defaults if name not in made
    }
    sizes = (config.training.batch_size, config.training.epochs, config.schedule.learning_rate)
    assert sizes == (35, 10, 0.001)
    assert (config.optimizer.momentum, config.optimizer.weight_decay) == (0.9, 0.001)


def test_the_documentation_lists_every_configuration():
    listed = set(re.findall(r"^\| `(\w+)", LIST.read_text(), re.MULTILINE))
    assert set(FILES) <= listed


@pytest.mark.parametrize("family", NAMES)
def test_every_number_has_limits_around_its_default(family):
    limits = {**SHARED_LIMITS, **family_named(family).limits}
    for field, value in flatten(default_fields(family)).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, high = limits[field]
            assert low <= value <= high, field
            for beyond in (low - 1, high * 2 + 1):
                message = f"{field} must (be at least|be at most|not be negative)"
                assert re.search(message, impossible_value(_changed(family, field, beyond)))
    assert family_named(family).limits.keys() <= flatten(default_fields(family)).keys()


@pytest.mark.parametrize("family", NAMES)
def test_no_value_of_another_type_is_taken(family):
    for field, default in flatten(default_fields(family)).items():
        for value in (None, {}, "", [], True, 2.5, "0", float("nan"), -math.inf):
            message = impossible_value(_changed(family, field, value))
            alike = type(value) is type(default) or (value == [] and isinstance(default, list))
            if field == "family" or (value == {} and not message):
                continue
            assert bool(message) != alike or (isinstance(default, float) and field in message)


@pytest.mark.parametrize(
    ("family", "field", "value", "said"),
    [
        ("classifier", "data.deviation", ["a"], "data.deviation is a list of float, got"),
        ("classifier", "data.mean", [[0.5]], "data.mean is a list of float, got"),
        ("classifier", "data.mean", [math.inf], "data.mean must be finite"),
        ("classifier", "model.densenet_block_layers", [1.5], "is a list of int, got"),
        ("classifier", "model.densenet_block_layers", [True], "is a list of int, got"),
        ("emotion_gcn", "model.block_layers", ["x"], "model.block_layers is a list of int, got"),
        ("esr", "model.branch_widths", [8, "a"], "model.branch_widths is a list of int, got"),
    ],
)
def test_the_entries_of_a_list_have_its_type(family, field, value, said):
    assert said in impossible_value(_changed(family, field, value))


@pytest.mark.parametrize("deviation", ["[0.0]", "[-1.0]"])
def test_a_deviation_is_positive(deviation):
    config = load_config("configs/classifier_synthetic.py:tiny", [f"data.deviation={deviation}"])
    with pytest.raises(UsageError, match="data.deviation divides the images and must be positive"):
        normalisation_of(config)


def test_ccc_chooses_where_there_is_an_affect_alone():
    figures = {"classifier": {"accuracy": 0.5}}
    with pytest.raises(UsageError, match="selected_by=ccc needs a recogniser of valence"):
        selection_score(figures, chooser="classifier", selected_by="ccc")
    assert selection_score(figures, chooser="classifier", selected_by="accuracy") == 0.5


def _changed(family, field, value):
    """A configuration as it would be read from an edited file."""
    config = default_fields(family)
    *sections, name = field.split(".")
    place = config
    for section in sections:
        place = place[section]
    place[name] = value
    return config


@pytest.mark.parametrize("variant", VARIANTS["tdgan_ablations"])
def test_every_ablation_trains_and_changes_something(variant):
    whole, changed = (
        load_config(f"{FILES['tdgan_ablations']}:{name}").to_dict() for name in ("", variant)
    )
    classifier_stages(load_config(f"{FILES['tdgan_ablations']}:{variant}").training)
    names = {config.pop("name") for config in (whole, changed)}
    assert (whole == changed) == (not variant) == (len(names) == 1)


@pytest.mark.parametrize("variant", VARIANTS["tdgan_synthetic"])
def test_the_stages_of_the_drawn_faces_fit_their_epochs(variant):
    training = load_config(f"{FILES['tdgan_synthetic']}:{variant}").training
    stages = classifier_stages(training)
    assert sum(stage.epochs for stage in stages) in (0, training.epochs)
    assert bool(stages) == (variant in ("", "visible"))
