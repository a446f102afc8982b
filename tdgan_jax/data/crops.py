"""Whether the faces of several datasets, or of a model and a dataset, were cut out alike.

A dataset without settings of a crop keeps its owner's images. These may be aligned in some way
nobody recorded, so that they cannot be compared with others: training such sets together is
remarked on, not refused. To show a model faces that are cut otherwise than those it learned from is
refused.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tdgan_jax.configuration import Config
from tdgan_jax.data.builders import open_dataset

if TYPE_CHECKING:
    from tdgan_jax.data.builders import DatasetBuilder
    from tdgan_jax.faces.alignment import CropSettings

OVERRIDE = "data.allow_different_crops"


def training_crop(config: Config) -> "CropSettings | None":
    """How the faces of a run's expression images were cut out; None: as their owner gives them.

    Raises:
        UserError: If two of the run's datasets were cut differently, unless
            `data.allow_different_crops` is set.
    """
    from tdgan_jax.faces.alignment import check_same_crop

    name, crop = _expressions_crop(config)
    known = [(name, crop), *_other_crops(config)]
    # Sets that are cut like the first one are cut alike; images as their owner gives them are
    # only remarked on.
    was_cut = [(dataset, its_crop) for dataset, its_crop in known if its_crop is not None]
    for other, others_crop in was_cut[1:]:
        check_same_crop(
            was_cut[0][1],
            others_crop,
            model_name=was_cut[0][0],
            dataset_name=other,
            override=f"--config.{OVERRIDE}=true",
            is_overridden=config.data.allow_different_crops,
        )
    return crop


def crop_remarks(config: Config) -> list[str]:
    """A sentence for each of a run's datasets whose faces may stand elsewhere than the others."""
    name, crop = _expressions_crop(config)
    remarks = []
    for other, others_crop in _other_crops(config):
        if (crop is None) != (others_crop is None):
            cut, whole = (name, other) if others_crop is None else (other, name)
            remarks.append(
                f"the faces of {cut} were found and cut out, the images of {whole} are as their "
                "owner gives them: where the faces do not stand alike, a network can tell the sets "
                "apart by that; tdgan-jax prepare has --detect for both"
            )
    return remarks


def check_dataset_crop(
    model: Mapping[str, Any] | None,
    config: Config,
    dataset: str,
    builder_config: str,
    *,
    override: str,
) -> None:
    """Refuses a dataset whose faces are not cut out like those that a model learned from.

    Args:
        model: Settings of the model's training images as JSON; None: as their owner gives them.
        config: Says where prepared datasets are kept.
        dataset: Name of the dataset to evaluate.
        builder_config: Its builder configuration; empty for the first one.
        override: The option that allows a difference, for the message; empty if it was given.

    Raises:
        UserError: Names the differences and the option.
    """
    from tdgan_jax.faces.alignment import CropSettings, check_same_crop

    check_same_crop(
        None if model is None else CropSettings.from_json(model),
        _crop_of(config, dataset, builder_config),
        model_name="the model's training images",
        dataset_name=dataset,
        override=override,
        is_overridden=not override,
    )


def _expressions_crop(config: Config) -> "tuple[str, CropSettings | None]":
    source = config.data.expressions
    return source.dataset, _crop_of(config, source.dataset, source.builder_config)


def _other_crops(config: Config) -> "list[tuple[str, CropSettings | None]]":
    """The run's other datasets with their crops."""
    data: Any = config.data
    names = []
    if "faces" in data and data.faces.dataset != data.expressions.dataset:
        names.append((data.faces.dataset, data.faces.builder_config))
    for field in ("additional_training_datasets", "average_identity_datasets"):
        for text in filter(None, map(str.strip, data.get(field, "").split(","))):
            name, _, builder_config = text.partition("/")
            names.append((name, builder_config))
    return [(name, _crop_of(config, name, builder)) for name, builder in dict.fromkeys(names)]


def _crop_of(config: Config, dataset: str, builder_config: str) -> "CropSettings | None":
    builder = open_dataset(dataset, builder_config or None, config.data.directory or None)
    return crop_settings(builder)


def crop_settings(builder: "DatasetBuilder") -> "CropSettings | None":
    """How the faces of a prepared dataset were cut out.

    Args:
        builder: The prepared dataset.

    Returns:
        The settings, or None if its images are stored as the owner gives them.

    Raises:
        UserError: If the dataset's record of it is damaged.
    """
    from tdgan_jax.faces.alignment import CropSettings

    recorded = (builder.info.metadata or {}).get("crop")
    return None if recorded is None else CropSettings.from_json(recorded)
