"""Pictures for a report that take the trained model and its test images to draw.

They stand in `pictures/` of the run folder: `features.json` (places of the test images in both
feature spaces), `errors.json` (the most confident errors, with their images), `affect.json`
(valence and arousal, where the model knows them) and `interpolation.png`. Nothing of it leaves the
folder but in its report.
"""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tdgan_jax.data.examples import Examples
from tdgan_jax.exchange.selected_runs import SelectedRun
from tdgan_jax.families.recogniser import probabilities_of
from tdgan_jax.files import write_json
from tdgan_jax.runs.folder import (
    AFFECT_FILE,
    ERRORS_FILE,
    FEATURES_FILE,
    INTERPOLATION_FILE,
    PICTURES_FOLDER,
)
from tdgan_jax.steps.state import Answers

NUM_ERRORS = 12
NUM_FRAMES = 9
STAGES = 4


def draw_pictures(
    folder: Path, *, data_dir: str = "", say: Callable[[str], None] = lambda stage: None
) -> None:
    """Draws what a run's selected parameters make of its test images.

    Args:
        folder: A run folder with at least one finished epoch.
        data_dir: Where prepared datasets are kept; the run's setting if empty.
        say: Told at the begin of each of `STAGES` stages what is being done.

    Raises:
        UserError: If the folder holds no such run, or its dataset is not there.
    """
    from tdgan_jax.data.loading import load_test_examples
    from tdgan_jax.data.splits import splits_of
    from tdgan_jax.evaluation.runs import shared_classes
    from tdgan_jax.exchange.selected_runs import open_selected_run

    say("reading")
    run = open_selected_run(folder, data_dir=data_dir)
    source = run.config.data.expressions
    examples = load_test_examples(
        run.config, source.dataset, source.builder_config, splits_of(run.config).test
    )
    examples = shared_classes(examples, run.expression_names).examples
    pictures = folder / PICTURES_FOLDER
    say("errors")
    answers = _answers(run, examples)
    write_json(pictures / ERRORS_FILE, _errors(run, examples, answers))
    if answers.affect is not None:
        write_json(pictures / AFFECT_FILE, _affect(run, examples, answers))
    say("maps of the features")
    write_json(pictures / FEATURES_FILE, _features(run, examples))
    say("interpolation")
    _interpolation(folder, examples, pictures / INTERPOLATION_FILE)


def _answers(run: SelectedRun, examples: Examples) -> Answers:
    """Those of the first recogniser."""
    from tdgan_jax.evaluation.recognition import predict_answers

    return predict_answers(
        run.program.eval_step,
        run.program.training.recognisers,
        run.parameters,
        examples,
        batch_size=run.config.evaluation.batch_size,
        mesh=run.program.mesh,
    )[run.program.training.recognisers[0]]


def _errors(run: SelectedRun, examples: Examples, answers: Answers) -> dict[str, Any]:
    from tdgan_jax.probing.feature_maps import confident_errors

    probabilities = probabilities_of(answers)
    return {
        "recogniser": run.program.training.recognisers[0],
        "errors": [
            {
                "file": str(examples.files[error.position]),
                "answer": run.expression_names[error.answer],
                "truth": run.expression_names[error.truth],
                "confidence": error.confidence,
                "png": _png(examples.images[error.position]),
            }
            for error in confident_errors(examples.expressions, probabilities, NUM_ERRORS)
        ],
    }


def _affect(run: SelectedRun, examples: Examples, answers: Answers) -> dict[str, Any]:
    from tdgan_jax.data.image_feed import affects
    from tdgan_jax.probing.feature_maps import spread_positions

    chosen = spread_positions(len(examples.files))
    labels = affects(examples)[chosen].round(4).tolist()
    return {
        "expression_names": list(run.expression_names),
        "expressions": examples.expressions[chosen].tolist(),
        "labelled": [[None if np.isnan(value) else value for value in row] for row in labels],
        "answers": answers.affect[chosen].round(4).tolist(),
    }


def _png(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _features(run: SelectedRun, examples: Examples) -> dict[str, Any]:
    from tdgan_jax.data.examples import has_subjects
    from tdgan_jax.probing.feature_maps import feature_map, spread_positions
    from tdgan_jax.probing.probed_features import probed_features

    shown = examples.select(spread_positions(len(examples.files)))
    people = [str(group) for group in shown.groups] if has_subjects(shown) else None
    maps = {
        name: feature_map(features).round(3).tolist()
        for name, features in probed_features(run, [shown]).items()
    }
    return {
        "maps": maps,
        "expression_names": list(run.expression_names),
        "expressions": shown.expressions.tolist(),
        "people": people,
    }


def _interpolation(folder: Path, examples: Examples, out: Path) -> None:
    """A strip from one expression to the next on the face of another person."""
    import jax

    from tdgan_jax.api import Generates, load
    from tdgan_jax.inference.sheets import animation_strip
    from tdgan_jax.reports.grids import save_png

    model, chosen = load(folder), _three_pictures(examples)
    if chosen is None or not isinstance(model, Generates):
        return
    images = np.stack([np.asarray(examples.images[i]) for i in chosen]).astype(np.float32) / 255
    frames = model.interpolate(images[:1], images[1:], num_frames=NUM_FRAMES, key=jax.random.key(0))
    save_png(animation_strip(images[0], images[1:], np.asarray(frames)), out)


def _three_pictures(examples: Examples) -> tuple[int, int, int] | None:
    """A face, and two pictures of one other person (or of any) with two expressions."""
    groups, expressions = examples.groups, examples.expressions
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        others = np.flatnonzero(groups != group)
        second = rows[expressions[rows] != expressions[rows[0]]]
        if len(second) and len(others):
            return int(others[0]), int(rows[0]), int(second[-1])
    different = np.flatnonzero(expressions != expressions[0])
    return (int(different[-1]), 0, int(different[0])) if len(different) > 1 else None
