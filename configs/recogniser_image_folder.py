r"""The recogniser that ships, trained further on anyone's faces: ten folds by subject.

    tdgan-jax prepare image_folder --source DIR --subject-pattern '^(S\d+)_' \
        --detect mtcnn --crop box --crop-margin 0
    python launch.py --config configs/recogniser_image_folder.py

`DIR` holds `<class>/<image>` or a csv file; see data_builders/image_folder/README.md. Classes that
the recogniser knows by name keep its weights, others begin at random. A set of fewer than ten
subjects has as many folds as subjects: `--config.data.num_folds=6`.

Variants: "by_image" for pictures whose subjects nobody knows: a fifth of the images tests, and a
person may be on both sides; "tiny" for tests.

Measured on the 60 Yale photographs as such a folder: 0.850 (0.767 to 0.917), six minutes on two
cores; the shipped recogniser as it is names 0.717 of them correctly.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.classifier.fields import like_the_shipped_recogniser, shrink_to_tiny
from tdgan_jax.families.fields import new_config
from tdgan_jax.families.loop_fields import ten_folds

VARIANTS = ("by_image", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Ten folds of `image_folder`; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("classifier")
    config.name = "recogniser_image_folder"
    config.data.expressions.dataset = "image_folder"
    like_the_shipped_recogniser(config)
    config.training.initial_model = "pretrained"
    config.training.epochs = 30
    config.training.batch_size = 16
    config.schedule.learning_rate = 1e-3
    config.evaluation.selection = "last"
    if variant == "by_image":
        config.name += "_by_image"
        config.data.expressions.train_split = "train[:80%]"
        config.data.expressions.test_split = "train[80%:]"  # the stored order is random
        config.data.validation = "none"
        return config
    ten_folds(config)
    config.data.validation = "none"
    if variant == "tiny":
        shrink_to_tiny(config)
        config.training.initial_model = ""  # its weights have another size
    return config
