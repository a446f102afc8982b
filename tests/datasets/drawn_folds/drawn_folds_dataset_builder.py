"""A dataset in three folds without a source: a bar whose place is the expression, on gray."""

import io

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from PIL import Image

from tdgan_jax.expressions import BASIC_EXPRESSIONS

SIZE_PX = 16
NUM_FOLDS = 3
SUBJECTS_PER_FOLD = 2


class Builder(tfds.core.GeneratorBasedBuilder):
    """Two people a fold, each with seven expressions and one picture without a label."""

    pkg_dir_path = epath.Path(__file__).parent
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="apart", description="Nobody stands in two folds."),
        tfds.core.BuilderConfig(name="shared", description="The first person stands in all."),
    ]

    def _info(self):
        people = [f"p{number}" for number in range(NUM_FOLDS * SUBJECTS_PER_FOLD)]
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIZE_PX, SIZE_PX, 1)),
                    "expression": tfds.features.ClassLabel(names=list(BASIC_EXPRESSIONS)),
                    "identity": tfds.features.ClassLabel(names=people),
                    "subject": tfds.features.Text(),
                    "file": tfds.features.Text(),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {f"fold_{fold}": self._generate_examples(fold) for fold in range(NUM_FOLDS)}

    def _generate_examples(self, fold):
        people = range(fold * SUBJECTS_PER_FOLD, (fold + 1) * SUBJECTS_PER_FOLD)
        if self.builder_config.name == "shared":
            people = [0, *people[1:]]
        for person in people:
            for label in (*range(len(BASIC_EXPRESSIONS)), -1):
                pixels = np.full((SIZE_PX, SIZE_PX), 40 + 30 * person, np.uint8)
                if label >= 0:
                    pixels[2 * label : 2 * label + 2] = 255
                image = io.BytesIO()
                Image.fromarray(pixels).save(image, "PNG")
                # A number at the end would make frames of one sequence of them.
                file = f"p{person}/{fold}_{label}.drawn.png"
                yield (
                    file,
                    {
                        "image": image.getvalue(),
                        "expression": label,
                        "identity": f"p{person}",
                        "subject": f"p{person}",
                        "file": file,
                    },
                )
