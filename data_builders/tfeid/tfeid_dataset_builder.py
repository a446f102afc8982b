"""Builder of TFEID (the Taiwanese Facial Expression Image Database)."""

import tensorflow_datasets as tfds

from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.posed_builder import PosedBuilder
from tdgan_jax.preparation.source_tree import SourceTree

NUM_IMAGES = 580
NUM_SUBJECTS = 40


class Builder(PosedBuilder):
    """Builds `tfeid` from folders like `dfh_anger_x`, or from a csv file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "TFEID was given to researchers by the Brain Mapping Laboratory of National Yang-Ming\n"
        "University, Taipei (http://bml.ym.edu.tw/tfeid); see data_builders/tfeid/README.md"
    )
    HOMEPAGE = "http://bml.ym.edu.tw/tfeid"
    DETECT = "mtcnn"
    DOCUMENTED = {"tfeid": {"images": NUM_IMAGES, "subjects": NUM_SUBJECTS}}

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the images of the csv file, or else those in folders like `dfh_anger_x`."""
        pattern = (
            r"[a-z]+_(?P<spelling>[a-z]+)_[a-z]+/(?P<subject>[fm]\d+)_[^/]+\.(?:jpe?g|png|bmp)"
        )
        return self.list_table_or_folders(tree, pattern, "dfh_anger_x/f01_dfh_....jpg and so on")
