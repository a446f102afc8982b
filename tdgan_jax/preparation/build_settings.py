"""What a dataset is asked to be built with, compared with what is kept of a build before."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tdgan_jax.errors import UsageError

if TYPE_CHECKING:
    from tdgan_jax.faces.preparation import Cropping

SUBJECT_PATTERN = "subject_pattern"


def check_subject_pattern(dataset: str, subject_pattern: str | None) -> None:
    """Refuses a pattern for the subjects of a dataset that knows them.

    Raises:
        UsageError: If it is given for another dataset than `image_folder`.
    """
    if subject_pattern is not None and dataset != "image_folder":
        raise UsageError(f"{dataset} knows its subjects; leave --subject-pattern out")


def differences(
    notes: Mapping[str, Any],
    *,
    cropping: "Cropping | None",
    subject_pattern: str | None,
    partial: bool,
) -> list[str]:
    """In what a prepared dataset differs from the one that is asked for.

    Args:
        notes: What its builder noted (`metadata.json`).
        cropping: How faces are to be cut out; None for whole images.
        subject_pattern: Tells the subjects of `image_folder`.
        partial: Whether a source with other counts than the documented ones is fine.

    Returns:
        A few words for each difference, none if it is what is asked for.
    """
    crop = {} if cropping is None else cropping.settings.as_json()
    asked = {
        "detector": None if cropping is None else "mtcnn",
        "no_face_policy": None if cropping is None else cropping.no_face,
        **{f"crop_{field}": value for field, value in crop.items()},
        SUBJECT_PATTERN: subject_pattern,
        "partial": partial,
    }
    stored = {
        **{name: notes.get(name) for name in ("detector", "no_face_policy", SUBJECT_PATTERN)},
        **{f"crop_{field}": value for field, value in (notes.get("crop") or {}).items()},
        "partial": notes.get("partial", False),
    }
    if (asked["detector"] is None) != (stored["detector"] is None):
        # One word about the faces says it all.
        names = ["detector", SUBJECT_PATTERN, "partial"]
    else:
        names = sorted(asked.keys() | stored.keys())
    return [
        f"{name.replace('_', ' ')} {_text(stored.get(name))} instead of {_text(asked.get(name))}"
        for name in names
        if stored.get(name) != asked.get(name)
    ]


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "yes" if value else "none" if value is None else "no"
    return str(value)
