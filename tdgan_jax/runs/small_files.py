"""The small JSON files of a run, each read through a schema: a damaged one is named, not trusted.

The schemas (JSON Schema, draft 7) give the types and ranges of what the program reads. Fields that
they do not name are allowed: a younger version may have written them.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema

from tdgan_jax.errors import UserError
from tdgan_jax.files import read_json

MAX_DEVICES = 1024
"""Of a run, as its `environment.json` lists them."""

_COUNT = {"type": "integer", "minimum": 0}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_SHARE_OR_NONE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_NUMBER = {"type": "number"}
_NUMBER_OR_NONE = {"type": ["number", "null"]}
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _each(schema: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": schema}


def _rows(item: Any, length: int | None = None) -> dict[str, Any]:
    """Of a matrix, whose rows may have to have a length."""
    row = {"type": "array", "items": item}
    return {
        "type": "array",
        "items": row if length is None else row | {"minItems": length, "maxItems": length},
    }


_COUNTS_OF_CLASSES = _rows(_COUNT)
_INTERVAL = _object(
    ("low", "high", "confidence", "unit", "num_units", "num_resamples"),
    low=_NUMBER,
    high=_NUMBER,
    confidence=_SHARE,
    unit=_TEXT,
    num_units=_COUNT,
    num_resamples=_COUNT,
)
_INTERVAL_OR_NONE = {"anyOf": [{"type": "null"}, _INTERVAL]}
_FIGURES_OF_AFFECT = ("ccc", "rmse", "pearson", "sign_agreement")
_AFFECT = _object(
    (*_FIGURES_OF_AFFECT, "num_examples"),
    num_examples=_COUNT,
    **{name: _NUMBER_OR_NONE for name in _FIGURES_OF_AFFECT},
    **{f"{name}_interval": _INTERVAL_OR_NONE for name in _FIGURES_OF_AFFECT},
)
_FIGURES = _object(
    ("accuracy",),
    accuracy=_SHARE,
    mean_class_accuracy=_SHARE,
    macro_f1=_SHARE,
    cross_entropy=_NUMBER,
    expected_calibration_error=_SHARE,
    calibration_bins={
        "type": "array",
        "items": _object(
            ("confidence", "accuracy", "num_examples"),
            confidence=_SHARE,
            accuracy=_SHARE,
            num_examples=_COUNT,
        ),
    },
    confusion_matrix=_COUNTS_OF_CLASSES,
    labels=_TEXTS,
    num_examples=_COUNT,
    per_class=_each(
        _object(
            ("precision", "recall", "num_examples"),
            precision=_SHARE_OR_NONE,
            recall=_SHARE_OR_NONE,
            num_examples=_COUNT,
        )
    ),
    accuracy_interval=_INTERVAL_OR_NONE,
    per_subject=_each({"type": "array"}),
    left_out=_each(_TEXTS),
    affect=_each(_AFFECT),
) | {
    "dependencies": {
        "calibration_bins": ["expected_calibration_error"],
        "confusion_matrix": ["labels"],
        "per_class": ["labels"],
    }
}
# Whatever holds an accuracy is a recogniser's figures, under any name.
_RECOGNISER = {
    "if": {"type": "object", "required": ["accuracy"]},
    "then": _FIGURES,
}
_EVALUATED = {
    "step": _COUNT,
    "epoch": _COUNT,
    "score": _NUMBER,
    "validation_accuracy": _NUMBER,
    "optimistic": {"type": "boolean"},
}
_ENTRY = _object(**_EVALUATED) | {"additionalProperties": _RECOGNISER}
_BY_SELECTION = _each(_ENTRY)
_SUBJECTS = _each(_TEXTS)
_RESULT_FIELDS = _EVALUATED | {
    "steps": _COUNT,
    "seconds": {"type": "number", "minimum": 0},
    "seed": _COUNT,
    "selected_on": _TEXT,
    "by_selection": _BY_SELECTION,
    "yardsticks": _each(_NUMBER),
    "subjects": _SUBJECTS,
}
_RESULT = _object(**_RESULT_FIELDS) | {"additionalProperties": _RECOGNISER}
_FINISHED_RESULT = _RESULT | {
    "required": ["steps", "seconds", "epoch", "selected_on", "by_selection"]
}
_RESULT_OF_A_FOLD = _FINISHED_RESULT | {
    "required": [*_FINISHED_RESULT["required"], "subjects"],
    "properties": _RESULT_FIELDS | {"subjects": _SUBJECTS | {"required": ["test"]}},
}
_SPREAD = _object(
    ("per_fold", "mean", "standard_deviation", "pooled"),
    per_fold={"type": "array", "items": _NUMBER},
    mean=_NUMBER,
    standard_deviation=_NUMBER,
    pooled=_NUMBER,
)
_FOLDED = {
    "if": {"type": "object", "required": ["accuracy"]},
    "then": _object(
        ("accuracy", "pooled"),
        accuracy=_SPREAD,
        mean_class_accuracy=_SPREAD,
        macro_f1=_SPREAD,
        pooled=_FIGURES,
    ),
}
_CROSS_VALIDATION = _object(
    folds=_TEXTS,
    selected_on=_TEXT,
    steps=_COUNT,
    seconds=_NUMBER,
    by_selection=_each({"type": "object", "additionalProperties": _FOLDED}),
) | {"additionalProperties": _FOLDED}
_ENVIRONMENT = _object(
    python=_TEXT,
    platform=_TEXT,
    packages=_each({"type": ["string", "null"]}),
    devices=_TEXTS | {"maxItems": MAX_DEVICES},
    device_kinds=_TEXTS,
    git_commit={"type": ["string", "null"]},
)
_PROGRESS = _object(
    ("step", "seconds", "expression_names", "by_selection"),
    step=_COUNT,
    seconds={"type": "number", "minimum": 0},
    expression_names=_TEXTS,
    identity_names=_TEXTS,
    crop={"type": ["object", "null"]},
    by_selection=_BY_SELECTION,
    best_of_stage=_object(("stage", "score"), stage=_COUNT, score=_NUMBER),
)
_RECORD = _object(
    ("step",),
    step={"type": "integer"},
    epoch=_COUNT,
    images_per_second={"type": ["number", "null"]},
    losses=_each({"type": ["number", "null"]}),
    evaluation=_each({"type": "object", "additionalProperties": _RECOGNISER}),
)
_ERRORS = _object(
    ("recogniser", "errors"),
    recogniser=_TEXT,
    errors={
        "type": "array",
        "items": _object(
            ("file", "answer", "truth", "confidence", "png"),
            file=_TEXT,
            answer=_TEXT,
            truth=_TEXT,
            confidence=_SHARE,
            png=_TEXT,
        ),
    },
)
_FEATURES = _object(
    ("maps", "expression_names", "expressions"),
    maps=_each(_rows(_NUMBER, 2)),
    expression_names=_TEXTS,
    expressions={"type": "array", "items": {"type": "integer"}},
    people={"type": ["array", "null"]},
)
_SHOWN_AFFECT = _object(
    ("expression_names", "expressions", "labelled", "answers"),
    expression_names=_TEXTS,
    expressions={"type": "array", "items": {"type": "integer"}},
    labelled=_rows(_NUMBER_OR_NONE, 2),
    answers=_rows(_NUMBER, 2),
)
_BEGINNING = _object(nodes=_TEXTS, adjacency=_rows(_SHARE), correlations_of=_TEXT)
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "config": {"type": "object"},
    "environment": _ENVIRONMENT,
    "result": _RESULT,
    "finished result": _FINISHED_RESULT,
    "result of a fold": _RESULT_OF_A_FOLD,
    "cross-validation": _CROSS_VALIDATION,
    "finished cross-validation": _CROSS_VALIDATION
    | {"required": ["folds", "selected_on", "steps", "seconds"]},
    "progress": _PROGRESS,
    "record": _RECORD,
    "errors": _ERRORS,
    "features": _FEATURES,
    "affect": _SHOWN_AFFECT,
    "beginning": _BEGINNING,
    "disentanglement": {"type": "object"},
}


def read_small_file(path: Path, kind: str) -> dict[str, Any]:
    """Reads a small file of a run.

    Args:
        path: The file.
        kind: What it holds, a key of the module's schemas.

    Raises:
        UserError: If it is missing, unreadable or damaged; names the file and the field.
    """
    value = read_json(path)
    if wrong := damage(value, kind):
        raise UserError(f"{path} is damaged: {wrong}")
    return value


def read_if_there(path: Path, kind: str) -> dict[str, Any] | None:
    """`read_small_file`, or None where there is no such file.

    Raises:
        UserError: If it is unreadable or damaged.
    """
    return read_small_file(path, kind) if path.exists() else None


def _disagreement(value: Any, place: str = "") -> str:
    """What is wrong with the first figures whose parts are not of the same classes."""
    if not isinstance(value, dict):
        return ""
    if isinstance(labels := value.get("labels"), list):
        matrix = value.get("confusion_matrix", [labels] * len(labels))
        if any(len(row) != len(labels) for row in [matrix, *matrix]):
            return f"{place}confusion_matrix is not of its {len(labels)} labels"
        if set(value.get("per_class", labels)) != set(labels):
            return f"{place}per_class is not of its labels"
    found = (_disagreement(part, f"{place}{name}.") for name, part in value.items())
    return next(filter(None, found), "")


def damage(value: Any, kind: str) -> str:
    """What is wrong with the content of a small file, or an empty text.

    Args:
        value: What its JSON holds.
        kind: What it should hold.

    Returns:
        The field and what it must be, in one line.
    """
    try:
        _validator(kind)(value)
    except fastjsonschema.JsonSchemaValueException as error:
        if not isinstance(value, dict):
            return "it holds no JSON object"
        field = ".".join(str(part) for part in error.path[1:]) or "it"
        rest = error.message.removeprefix(error.name or "")
        return f"{field}{rest}"[:300]
    return _disagreement(value)


@cache
def _validator(kind: str) -> Callable[[Any], Any]:
    return fastjsonschema.compile({**_SCHEMAS[kind]}, use_default=False)
