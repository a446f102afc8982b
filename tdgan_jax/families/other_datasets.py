"""Images of other datasets that train beside a configuration's own."""

from collections.abc import Iterator, Sequence

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.data.equal_pictures import nearly_equal
from tdgan_jax.data.examples import Examples, Transform, with_classes, with_transform
from tdgan_jax.data.images import resize_exactly
from tdgan_jax.data.loading import load_labelled, open_prepared, test_transform
from tdgan_jax.errors import UsageError
from tdgan_jax.families.family import Parts

COMPARED_PX = 32  # height and width at which images of different datasets are compared


def load_additional_datasets(config: Config, parts: Parts, transform: Transform) -> list[Examples]:
    """Images of `data.additional_training_datasets`, except those held out from the training.

    Datasets share photographs (FER+ and FER-2013 hold the same ones): an image that the validation
    or test part holds too, whatever it was encoded as, does not train.

    Args:
        config: The configuration.
        parts: Of its own dataset.
        transform: Applied to every image when it is read.

    Raises:
        UsageError: As `load_whole_datasets`.
    """
    names = config.data.additional_training_datasets
    others = load_whole_datasets(config, names, parts.fit, transform)
    if not others:
        return []
    held_out = [part.images for part in (parts.validation, parts.test) if part is not None]
    pictures = np.concatenate([_small_pictures(images) for images in held_out])
    as_tested = test_transform(config)
    kept = []
    for other in others:
        looked_at = _small_pictures(with_transform(other, as_tested).images)
        equal = [first for first, _ in nearly_equal(looked_at, pictures)]
        kept.append(other.select(np.setdiff1d(np.arange(len(other.files)), equal)))
    return kept


def _small_pictures(images: Sequence[np.ndarray]) -> np.ndarray:
    """Gray, uint8 `[N, COMPARED_PX, COMPARED_PX]`."""
    return np.stack([resize_exactly(image, COMPARED_PX, 1)[..., 0] for image in images])


def load_whole_datasets(
    config: Config, names: str, fit: Examples, transform: Transform
) -> list[Examples]:
    """All images of other datasets whose class is one of this training's.

    Of a set without folds the owner's training split is taken alone. Its images are one group: who
    they show does not matter here.

    Args:
        config: The configuration.
        names: Datasets as `NAME` or `NAME/CONFIG`, separated by commas.
        fit: The training's own images.
        transform: Applied to every image when it is read.

    Raises:
        UsageError: If the training's own dataset is among them, whose test images would be too.
    """
    loaded = []
    for text in filter(None, (part.strip() for part in names.split(","))):
        name, _, builder_config = text.partition("/")
        if name == config.data.expressions.dataset:
            raise UsageError(
                f"{name} is the training's own dataset: as a whole it holds those who validate or "
                "test; name other datasets"
            )
        splits = open_prepared(config, name, builder_config).info.splits
        folds = [split for split in splits if split.startswith("fold_")]
        split = "+".join(sorted(folds)) or "train"
        examples = load_labelled(config, name, builder_config, split, transform)
        examples = with_classes(examples, fit.expression_names)
        loaded.append(examples._replace(groups=np.full(len(examples.files), f"all of {text}")))
    return loaded


def named_datasets(
    config: Config, names: str, dataset: str, fit: Examples, transform: Transform
) -> Iterator[Examples]:
    """Those of `load_whole_datasets` that are of one dataset."""
    for text in map(str.strip, names.split(",")):
        if text.partition("/")[0] == dataset:
            yield from load_whole_datasets(config, text, fit, transform)
