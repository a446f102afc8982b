"""Builder of BU-3DFE: the frontal pictures of its scans of the two highest intensities."""

import tensorflow_datasets as tfds

from tdgan_jax.expressions import SIX_EXPRESSIONS, canonical_name
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.posed_builder import PosedBuilder, PosedConfig
from tdgan_jax.preparation.source_tree import SourceTree

NUM_SUBJECTS = 100
INTENSITIES = (3, 4)


class Builder(PosedBuilder):
    """Builds `bu3dfe` from the `_F2D.bmp` pictures."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        PosedConfig(
            name="without_neutral",
            description="Six expressions, intensities 3 and 4: 1,200 images (IF-GAN).",
            has_neutral=False,
        ),
        PosedConfig(
            name="with_neutral",
            description="The same with the 100 neutral scans: 1,300 images.",
            has_neutral=True,
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "BU-3DFE is licensed to universities and companies by Binghamton University:\n"
        "https://www.cs.binghamton.edu/~lijun/Research/3DFE/3DFE_Analysis.html"
    )
    HOMEPAGE = "https://www.cs.binghamton.edu/~lijun/Research/3DFE/3DFE_Analysis.html"
    DETECT = "mtcnn"
    DOCUMENTED = {
        config.name: {"subjects": NUM_SUBJECTS}
        | dict.fromkeys(SIX_EXPRESSIONS, NUM_SUBJECTS * len(INTENSITIES))
        | ({"neutral": NUM_SUBJECTS} if config.has_neutral else {})
        for config in BUILDER_CONFIGS
    }

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the frontal pictures of the wanted intensities."""
        found = self.find(
            tree,
            r"(?P<subject>[FM]\d{4})/(?P=subject)_(?P<expression>AN|DI|FE|HA|NE|SA|SU)"
            r"(?P<intensity>\d\d)[A-Z]{2}_F2D\.(?:bmp|png|jpe?g)",
            "F0001/F0001_AN03WH_F2D.bmp and so on",
        )
        listed = []
        for match in found:
            expression, subject = canonical_name(match["expression"]), match["subject"].upper()
            is_wanted = int(match["intensity"]) in INTENSITIES
            if expression == "neutral":
                is_wanted = self.has_neutral
            if is_wanted:
                listed.append(listed_image(match, expression=expression, subject=subject))
        return listed
