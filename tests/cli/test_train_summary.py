"""What a training says at its end, and where it cannot begin."""

import subprocess
import sys
from pathlib import Path

from tdgan_jax.cli.train import folds_summary, summary
from tdgan_jax.evaluation.metrics import chance_warning

NAMES = ["anger", "fear"]


def figures(right, *, low, high):
    """Of 100 images, 60 of them of the first class; `right` of each class are right."""
    return {
        "accuracy": sum(right) / 100,
        "accuracy_interval": {
            "low": low,
            "high": high,
            "confidence": 0.95,
            "unit": "subject",
            "num_units": 10,
        },
        "confusion_matrix": [[right[0], 60 - right[0]], [40 - right[1], right[1]]],
        "labels": NAMES,
    }


def test_accuracies_come_with_intervals_and_with_the_warning_near_chance():
    result = {
        "expression_module": figures((50, 35), low=0.8, high=0.9),
        "expression_discriminator": figures((40, 22), low=0.55, high=0.7),
        "yardsticks": {"ridge_regression_on_pixels": 0.5},
        "steps": 12,
        "seconds": 3.0,
        "epoch": 1,
        "selected_on": "test",
    }
    assert summary(result, Path("run")).splitlines() == [
        "12 steps in 3 s; parameters of epoch 1 (the first is 0; selected on test, optimistic); "
        "test accuracy:",
        "  expression module            0.850 (0.800 to 0.900, 95% over 10 subjects)",
        "  expression discriminator     0.620 (0.550 to 0.700, 95% over 10 subjects)",
        "  ridge regression on pixels   0.500",
        "warning: expression discriminator: 0.620 (0.550 to 0.700) is hardly better than "
        "always answering “anger” (0.600). Too little training, or is the label order wrong?",
        "report: run/report.html",
    ]


def test_a_wide_interval_is_no_reason_to_train_longer():
    few = figures((50, 20), low=0.4, high=0.9)
    text = "The 10 subjects of the test are too few to tell."
    assert chance_warning(few).endswith(f"always answering “anger” (0.600). {text}")
    below = figures((10, 5), low=0.05, high=0.5)  # not by chance, however few they are
    assert chance_warning(below).endswith(
        "(0.600). Too little training, or is the label order wrong?"
    )


def test_so_do_those_of_a_cross_validation():
    pooled = figures((20, 20), low=0.3, high=0.5)
    accuracy = {"mean": 0.41, "standard_deviation": 0.05, "pooled": 0.4}
    joined = {
        "folds": ["fold_0", "fold_1"],
        "classifier": {"accuracy": accuracy, "pooled": pooled},
        "steps": 12,
        "seconds": 3.0,
        "selected_on": "validation",
    }
    first, line, warning, _ = folds_summary(joined, Path("run")).splitlines()
    assert "parameters selected on validation; no subject" in first
    assert line.split(maxsplit=1)[1] == (
        "0.410 ± 0.050, pooled 0.400 (0.300 to 0.500, 95% over 10 subjects)"
    )
    assert warning.startswith("warning: classifier: 0.400 is no better than always answering")


def test_launch_without_the_packages_says_what_to_install():
    launch = Path(__file__).parent.parent.parent / "launch.py"
    command = [sys.executable, "-E", "-S", launch, "--config", "x.py"]  # -S: nothing installed
    ended = subprocess.run(command, cwd=launch.parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("launch.py: ")
    assert ended.stderr.endswith(" is not installed; first: python -m pip install .\n")
