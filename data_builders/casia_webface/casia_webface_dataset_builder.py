"""Builder of CASIA-WebFace: a face dataset with identities and no expressions."""

from dataclasses import dataclass
from typing import cast

import tensorflow_datasets as tfds

from tdgan_jax.errors import UserError
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.source_tree import SourceTree


@dataclass
class Config(tfds.core.BuilderConfig):
    """How many identities to build.

    Attributes:
        num_identities: The first ones in ascending order of their folders; None for all.
    """

    num_identities: int | None = None


class Builder(ImageBuilder):
    """Builds `casia_webface` from folders of seven digits, one a person."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        Config(name="20", description="The first 20 identities (TDGAN).", num_identities=20),
        Config(name="all", description="All 10,575 identities.", num_identities=None),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "CASIA-WebFace was given to research institutions by the Institute of Automation (CASIA)\n"
        "after a signed agreement; see data_builders/casia_webface/README.md"
    )
    HOMEPAGE = "https://arxiv.org/abs/1411.7923"
    DETECT = "mtcnn"
    DOCUMENTED = {
        "20": {"images": 2894, "subjects": 20},
        "all": {"images": 494_414, "subjects": 10_575},
    }

    @classmethod
    def own_config(cls, name: str) -> tfds.core.BuilderConfig | None:
        """Lets every number of identities be a configuration.

        Args:
            name: A whole number from 2 in decimal digits.

        Returns:
            The configuration, or None if the name is no such number.
        """
        if not name.isdecimal() or name.startswith("0") or int(name) < 2:
            return None
        return Config(
            name=name, description=f"The first {name} identities.", num_identities=int(name)
        )

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the images of the first identities."""
        found = self.find(
            tree,
            r"(?P<identity>\d{7})/\d+\.jpe?g",
            "0000045/001.jpg and so on, one folder a person",
        )
        identities = sorted({match["identity"] for match in found})
        wanted = cast(Config, self.builder_config).num_identities or len(identities)
        if len(identities) < wanted and not self.partial:
            raise UserError(
                f"{self.title}: the source holds {len(identities)} identities where {wanted} are "
                "wanted; complete the source, or accept it as it is with --partial"
            )
        kept = frozenset(identities[:wanted])
        return [
            listed_image(match, subject=match["identity"])
            for match in found
            if match["identity"] in kept
        ]
