"""Augmentations as data: what a configuration says of them, checked and frozen.

`data.augmentations` is a list such as

    [{"kind": "affine", "rotation_degrees": 15, "scale": [0.9, 1.1]}, {"kind": "flip"}]

whose entries are applied in order. Each has a `kind` and fields of its own; every one has a
`probability`, the part of the images that it changes. Those that give an image its size, `crop`,
`pad_crop` and `random_resized_crop`, always do: where they are not drawn they take the middle, or
the whole. `image_changes.py` applies them to an image, `mixup.py` mixes a batch.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias, get_args, get_type_hints

from ml_collections import ConfigDict

from tdgan_jax.data.limits import Choice, Colour, Entries, Number, Shade, Span
from tdgan_jax.errors import UsageError, unknown_name

RESAMPLINGS = ("nearest", "bilinear", "bicubic")

Probability: TypeAlias = Annotated[float, Number(0, 1)]
# 0: the size of the model's images.
SizePx: TypeAlias = Annotated[int, Number(0, 4096, is_whole=True)]
Resampling: TypeAlias = Annotated[str, Choice(RESAMPLINGS)]
Fill: TypeAlias = Annotated[Colour, Shade()]
Ratio: TypeAlias = Annotated[tuple[float, float], Span(0.1, 10)]


class Crop(NamedTuple):
    """A square at a random place of an image that is at least as large."""

    kind: str = "crop"
    probability: Probability = 1.0
    size_px: SizePx = 0


class PadCrop(NamedTuple):
    """A square at a random place after a margin of one colour is put around the image."""

    kind: str = "pad_crop"
    probability: Probability = 1.0
    size_px: SizePx = 0
    padding_px: Annotated[int, Number(0, 1024, is_whole=True)] = 4
    fill: Fill = 0


class RandomResizedCrop(NamedTuple):
    """A rectangle of random area, form and place, resized to a square (Szegedy et al. 2014).

    Attributes:
        kind: Names it.
        probability: Else the whole image is resized.
        size_px: Side of the result.
        scale: Part of the image's area.
        ratio: Width over height.
        resampling: With antialiasing where it reduces.
    """

    kind: str = "random_resized_crop"
    probability: Probability = 1.0
    size_px: SizePx = 0
    scale: Annotated[tuple[float, float], Span(0.01, 1)] = (0.08, 1.0)
    ratio: Ratio = (3 / 4, 4 / 3)
    resampling: Resampling = "bilinear"


class Flip(NamedTuple):
    """The mirror image."""

    kind: str = "flip"
    probability: Probability = 0.5


class Rotation(NamedTuple):
    """A turn about the middle by any angle up to the largest, either way."""

    kind: str = "rotation"
    probability: Probability = 1.0
    degrees: Annotated[float, Number(0, 180)] = 10.0
    resampling: Resampling = "bilinear"
    fill: Fill = 0


class Affine(NamedTuple):
    """Turn, shear and scale about the middle and a shift, in one resampling.

    Attributes:
        kind: Names it.
        probability: Part of the images.
        rotation_degrees: Largest angle, either way.
        translation: Largest shift as part of a side, either way, in whole pixels.
        scale: Factor of the size.
        shear_degrees: Largest angle of the columns, either way.
        resampling: Without antialiasing.
        fill: Colour of what comes in from outside.
    """

    kind: str = "affine"
    probability: Probability = 1.0
    rotation_degrees: Annotated[float, Number(0, 180)] = 0.0
    translation: Annotated[float, Number(0, 1)] = 0.0
    scale: Ratio = (1.0, 1.0)
    shear_degrees: Annotated[float, Number(0, 60)] = 0.0
    resampling: Resampling = "bilinear"
    fill: Fill = 0


class ColourJitter(NamedTuple):
    """Brightness, contrast and saturation times random factors.

    Attributes:
        kind: Names it.
        probability: Part of the images.
        brightness: The factor is between 1 minus and 1 plus this.
        contrast: The same, about the mean of the image.
        saturation: The same, about the gray image.
        order: "fixed": as here; or "random".
    """

    kind: str = "colour_jitter"
    probability: Probability = 1.0
    brightness: Annotated[float, Number(0, 1)] = 0.0
    contrast: Annotated[float, Number(0, 1)] = 0.0
    saturation: Annotated[float, Number(0, 1)] = 0.0
    order: Annotated[str, Choice(("fixed", "random"))] = "fixed"


class Equalisation(NamedTuple):
    """An even histogram of each channel."""

    kind: str = "equalisation"
    probability: Probability = 1.0


class Erasing(NamedTuple):
    """A painted rectangle at a random place (Zhong et al. 2017, arXiv:1708.04896).

    Attributes:
        kind: Names it.
        probability: Part of the images.
        area: Part of the image's area.
        ratio: Height over width.
        fill: "constant": `value`; "mean": the image's own mean; "random": any value a pixel.
        value: Colour.
    """

    kind: str = "erasing"
    probability: Probability = 1.0
    area: Annotated[tuple[float, float], Span(0, 1)] = (0.02, 0.33)
    ratio: Ratio = (0.3, 3.3)
    fill: Annotated[str, Choice(("constant", "mean", "random"))] = "constant"
    value: Fill = 0


class Group(NamedTuple):
    """Several augmentations that are drawn together: all of them or none."""

    kind: str = "group"
    probability: Probability = 1.0
    members: Annotated[tuple[Any, ...], Entries()] = ()


class Mixup(NamedTuple):
    """Images and what is labelled, mixed in pairs (Zhang et al. 2017, arXiv:1710.09412).

    Attributes:
        kind: Names it.
        probability: Part of the images.
        alpha: Of the distribution Beta(alpha, alpha) of an image's own share.
    """

    kind: str = "mixup"
    probability: Probability = 1.0
    alpha: Annotated[float, Number(0.01, 100)] = 0.2


Augmentation: TypeAlias = (
    Crop
    | PadCrop
    | RandomResizedCrop
    | Flip
    | Rotation
    | Affine
    | ColourJitter
    | Equalisation
    | Erasing
    | Group
    | Mixup
)
KINDS: dict[str, type[Augmentation]] = {
    str(one._field_defaults["kind"]): one for one in get_args(Augmentation)
}


def parse_augmentations(
    value: str | Sequence[Any], field: str = "data.augmentations"
) -> tuple[Augmentation, ...]:
    """The augmentations that a configuration asks for, in order.

    Args:
        value: A list of mappings, or the same as JSON text; empty text is an empty list. What this
            function gave is taken too.
        field: Name of the configuration's field.

    Raises:
        UsageError: Names the entry and the field, what may stand there and the nearest known name.
    """
    entries: Any = _from_json(value, field) if isinstance(value, str) else value
    if not isinstance(entries, list | tuple):
        raise UsageError(f"{field} must be a list of augmentations, got {entries!r}")
    parsed = tuple(_entry(entry, f"{field}[{index}]") for index, entry in enumerate(entries))
    if sum(isinstance(one, Mixup) for one in parsed) > 1:
        raise UsageError(f"{field} has more than one mixup")
    return parsed


def describe_augmentations(augmentations: Sequence[Augmentation]) -> str:
    """What is done to the training images, in words and in order; what is 0 is left out."""
    return ", then ".join(map(_words, augmentations)) or "none"


def mixup_of(augmentations: Sequence[Augmentation]) -> Mixup | None:
    """The entry that says how batches are mixed, if there is one."""
    return next((one for one in augmentations if isinstance(one, Mixup)), None)


def _from_json(text: str, field: str) -> Any:
    try:
        return json.loads(text) if text.strip() else []
    except ValueError as error:
        raise UsageError(
            f"""{field} is not JSON ({error}); write e.g. '[{{"kind": "flip"}}]'"""
        ) from error


def _entry(entry: Any, place: str) -> Augmentation:
    if isinstance(entry, tuple) and hasattr(entry, "_asdict"):
        entry = entry._asdict()  # pyright: ignore[reportAttributeAccessIssue]
    if not isinstance(entry, Mapping | ConfigDict) or "kind" not in entry:
        raise UsageError(
            f'{place} must have a kind, as {{"kind": "flip"}} has; known: {", ".join(KINDS)}'
        )
    given = dict(entry)
    kind = KINDS.get(given["kind"]) if isinstance(given["kind"], str) else None
    if kind is None:
        raise unknown_name(f"{place}.kind", given["kind"], KINDS)
    limits = {
        name: hint.__metadata__[0]
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if name != "kind"
    }
    del given["kind"]
    for name in given:
        if name not in limits:
            raise unknown_name(f"a field of {place}", name, limits)
    return kind(
        **{name: _value(limits[name], one, f"{place}.{name}") for name, one in given.items()}
    )


def _value(limit: Any, value: Any, place: str) -> Any:
    if isinstance(limit, Entries):
        members = parse_augmentations(value, place)
        if not members or mixup_of(members):
            raise UsageError(f"{place} must hold augmentations of single images, got {value!r}")
        return members
    if isinstance(limit, Choice):
        if value not in limit.names:
            raise unknown_name(place, value, limit.names)
        return value
    if not limit.accepts(value):
        raise UsageError(f"{place} must be {limit}, got {value!r}")
    return tuple(value) if isinstance(value, list) else value


def _words(augmentation: Augmentation) -> str:
    fields = augmentation._asdict()
    name, probability = fields.pop("kind").replace("_", " "), fields.pop("probability")
    if isinstance(augmentation, Group):
        fields = {}
        name = f"[{describe_augmentations(augmentation.members)}]"
    details = [
        f"{field.replace('_', ' ')} {_shown(value)}" for field, value in fields.items() if value
    ]
    text = f"{name} ({', '.join(details)})" if details else name
    return text if probability == 1 else f"{text} with probability {probability:g}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return " to ".join(f"{one:.3g}" for one in (value if isinstance(value, tuple) else (value,)))
