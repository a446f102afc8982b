"""TFDS builder of the embedded dataset `synthetic_faces`."""

import dataclasses
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tdgan_jax.expressions import BASIC_EXPRESSIONS

from .factors import FACTOR_NAMES, NUM_IDENTITIES, SPLITS, affect, sample_expression
from .workers import draw_split, picture_factors


@dataclasses.dataclass
class SyntheticFacesConfig(tfds.core.BuilderConfig):
    """Size of the pictures, and whether valence and arousal are labels; the rest is the same."""

    image_size_px: int = 128
    has_affect: bool = False


class Builder(tfds.core.GeneratorBasedBuilder):
    """Faces drawn by a program from stored factors; nothing is downloaded."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    # The first one is the default.
    BUILDER_CONFIGS = [
        SyntheticFacesConfig(name="128", description="128x128 pixels.", image_size_px=128),
        SyntheticFacesConfig(name="64", description="64x64 pixels.", image_size_px=64),
        SyntheticFacesConfig(
            name="64_affect",
            description="64x64 pixels, with valence and arousal.",
            image_size_px=64,
            has_affect=True,
        ),
    ]

    @property
    def _drawn(self) -> SyntheticFacesConfig:
        assert isinstance(self.builder_config, SyntheticFacesConfig)
        return self.builder_config

    def _info(self) -> tfds.core.DatasetInfo:
        size = self._drawn.image_size_px
        identities = [f"identity_{number:03d}" for number in range(NUM_IDENTITIES)]
        labels = {}
        if self._drawn.has_affect:
            labels["affect"] = tfds.features.Tensor(
                shape=(2,), dtype=np.float32, doc="valence and arousal, each in [-1, 1]"
            )
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(size, size, 1), encoding_format="png"),
                    "expression": tfds.features.ClassLabel(names=list(BASIC_EXPRESSIONS)),
                    "identity": tfds.features.ClassLabel(names=identities),
                    "subject": tfds.features.Text(),
                    "file": tfds.features.Text(),
                    "factors": tfds.features.Tensor(
                        shape=(len(FACTOR_NAMES),),
                        dtype=np.float32,
                        doc="in the order of FACTOR_NAMES in factors.py",
                    ),
                    **labels,
                }
            ),
            supervised_keys=("image", "expression"),
            metadata=tfds.core.MetadataDict(factor_names=list(FACTOR_NAMES)),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for picture, png in draw_split(split, self._drawn.image_size_px):
            subject = f"identity_{picture.identity:03d}"
            file = f"{split}/{subject}/{picture.expression}_{picture.sample:02d}.png"
            labels = {}
            if self._drawn.has_affect:
                labels["affect"] = np.array(affect(sample_expression(*picture)), np.float32)
            yield (
                file,
                {
                    "image": io.BytesIO(png),
                    "expression": picture.expression,
                    "identity": subject,
                    "subject": subject,
                    "file": file,
                    "factors": picture_factors(picture),
                    **labels,
                },
            )
