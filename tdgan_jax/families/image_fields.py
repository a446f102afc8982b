"""Sections of a configuration that the systems which learn from single images share."""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config, unknown_variant
from tdgan_jax.families.loop_fields import (
    Limits,
    evaluation_fields,
    expressions_fields,
    log_fields,
    optimizer_fields,
    parallel_fields,
    schedule_fields,
)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
SAMPLING_LIMITS: Limits = {"data.class_cap": (1, 10**9)}


def image_data_fields() -> Config:
    """Where images come from and what is done to them."""
    data: Config = ConfigDict()
    data.directory = ""  # prepared datasets; "": TFDS's default
    data.expressions = expressions_fields()
    # Datasets as NAME or NAME/CONFIG, separated by commas, which train too. Images of other classes
    # are left out, and those that the validation or test part holds too. With votes as targets, a
    # label counts as if all raters had given it.
    data.additional_training_datasets = ""
    data.num_folds = 0  # of a cross-validation; 0: the two splits above
    data.fold = -1  # the one to run; -1: all of them
    # How training images are resized before the augmentations, and evaluated ones: see data/images.
    data.training_transform = "shorter_side"  # or "square" or "resize"
    data.test_transform = "resize"  # or "centre_crop" or "square_centre_crop"
    data.channel_order = "rgb"  # or "bgr"
    # What is taken from an image in [0, 1] and what it is then divided by, a number a channel or
    # one for all.
    data.mean = (0.0,)
    data.deviation = (1.0,)
    data.augmentations = (
        ConfigDict({"kind": "crop"}),
        ConfigDict({"kind": "flip"}),
    )
    # What is learned: the class ("label"), or of a dataset with raters' votes their shares
    # ("votes") or what the paper of FER+ makes of them ("cross_entropy", "probability",
    # "multi_target"); see data/votes.
    data.targets = "label"
    data.drop_single_votes = True  # of "votes": what one rater alone saw counts as not seen
    data.validation = "subjects"  # or "next_fold" or "none"
    data.validation_fraction = 0.1  # of the training examples, for "subjects"
    data.pad_last_batch = False  # False: the rest of an epoch's shuffle is dropped
    data.memory_limit_bytes = 4 * 2**30  # larger splits are decoded anew each time
    data.num_workers = 0  # worker processes; 0: threads
    data.allow_different_crops = False
    return data


def sampled_data_fields() -> Config:
    """The same, and which images an epoch shows."""
    data = image_data_fields()
    data.training_transform = "resize"
    data.pad_last_batch = True
    # All images once; "capped": at most `class_cap` of a class, drawn anew for each stage;
    # "capped_quadrants": of each quadrant of valence and arousal; or "balanced": as many as there
    # are, drawn so that every class is as frequent.
    data.sampling = "all"
    data.class_cap = 5000
    return data


def add_loop_sections(config: Config, *, learning_rate: float, batch_size: int) -> None:
    """Adds what optimises, evaluates, writes and computes.

    Args:
        config: With the sections before these.
        learning_rate: Of the schedule.
        batch_size: Images that are evaluated at once.
    """
    config.optimizer = optimizer_fields()
    config.schedule = schedule_fields(learning_rate=learning_rate)
    config.evaluation = evaluation_fields(batch_size=batch_size)
    config.evaluation.yardsticks = False  # simple classifiers beside the result
    config.log = log_fields()
    config.parallel = parallel_fields()
    config.parallel.batch_statistics = "global"  # of batch norms; or "device": each device's part


def jitter_flip_and_affine(config: Config) -> None:
    """Augmentations of the programs of ESR and MA-Net for AffectNet and FER+ (spec ESR A.6)."""
    config.data.augmentations = (
        ConfigDict(
            {"kind": "colour_jitter", "brightness": 0.5, "contrast": 0.5, "order": "random"}
        ),
        ConfigDict({"kind": "flip"}),
        ConfigDict(
            {"kind": "affine", "rotation_degrees": 30.0, "translation": 0.1, "scale": (1.0, 1.25)}
        ),
    )


def turn_shift_and_erase(config: Config) -> None:
    """Augmentations and colours of the diversified programs for RAF-DB (spec ESR A.6)."""
    config.data.mean, config.data.deviation = IMAGENET_MEAN, IMAGENET_DEVIATION
    shifted = (
        ConfigDict({"kind": "rotation", "degrees": 20.0, "resampling": "nearest"}),
        ConfigDict({"kind": "pad_crop", "padding_px": 32}),
    )
    config.data.augmentations = (
        ConfigDict({"kind": "flip"}),
        ConfigDict({"kind": "group", "probability": 0.2, "members": shifted}),
        # Black after the normalisation is ImageNet's mean before it.
        ConfigDict(
            {
                "kind": "erasing",
                "probability": 0.5,
                "area": (0.02, 0.25),
                "ratio": (0.3, 3.3),
                "value": (124, 116, 104),
            }
        ),
    )


def changed_by_variant(
    config: Config, variant: str, known: Mapping[str, Callable[[Config], None]]
) -> Config:
    """The configuration as it is, or what a variant makes of it.

    Args:
        config: Changed in place, its name too.
        variant: A name among those known, or "".
        known: What each variant changes.

    Raises:
        UsageError: If the variant is another one.
    """
    if variant and variant not in known:
        raise unknown_variant(variant, tuple(known))
    if variant:
        config.name += f"_{variant}"
        known[variant](config)
    return config
