r"""TDGAN on anyone's images, face branch from the AT&T database: ten folds by subject.

    tdgan-jax prepare att_faces --source att_faces.zip
    tdgan-jax prepare image_folder --source DIR --subject-pattern '^(S\d+)_'
    python launch.py --config configs/tdgan_image_folder.py:cpu

`DIR` holds `<class>/<image>` or a csv file; see data_builders/image_folder/README.md. A set of
fewer than ten subjects has as many folds as subjects: `--config.data.num_folds=6`. With many
subjects of its own the set can feed the face branch too, which then sees the training subjects
only: `--config.data.faces.dataset=image_folder`, `--config.data.faces.split=` and
`--config.data.faces.follow_folds=true`.

Variants: "" is the full size with the released settings, for an accelerator; "cpu" a reduced width
that learns from the labels in fewer steps; "tiny" for tests. Not yet measured.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.fields import new_config
from tdgan_jax.families.tdgan.fields import (
    cross_validate_in_the_lab,
    full_size_or_tiny,
    learn_from_labels,
    reduce_for_cpu,
)


def get_config(variant: str = "") -> ConfigDict:
    """Ten folds of `image_folder`; see the module for the variants."""
    if variant not in ("", "cpu", "tiny"):
        raise unknown_variant(variant, ("cpu", "tiny"))
    config = new_config("tdgan")
    config.name = "tdgan_image_folder"
    config.data.faces.dataset = "att_faces"
    config.data.expressions.dataset = "image_folder"
    cross_validate_in_the_lab(config)
    if variant == "cpu":
        config.name += "_cpu"
        reduce_for_cpu(config)
        learn_from_labels(config, discriminator_gap=2)
        config.training.epochs = 8
        return config
    return full_size_or_tiny(config, variant)
