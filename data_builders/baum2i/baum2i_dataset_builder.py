"""Builder of BAUM-2i: the peak frames of BAUM-2's clips."""

import tensorflow_datasets as tfds

from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.posed_builder import PosedBuilder
from tdgan_jax.preparation.source_tree import SourceTree

NUM_IMAGES = 998


class Builder(PosedBuilder):
    """Builds `baum2i` from a csv file, or from folders named by expression."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "BAUM-2 was given to researchers by Bahcesehir University, Istanbul, after a signed\n"
        "licence (http://baum2.bahcesehir.edu.tr); see data_builders/baum2i/README.md"
    )
    HOMEPAGE = "http://baum2.bahcesehir.edu.tr"
    DOCUMENTED = {"baum2i": {"images": NUM_IMAGES}}

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the images of the csv file, or else those in folders like `anger`."""
        pattern = r"(?P<spelling>[a-z]+)/(?P<subject>S\d+)_[^/]+\.(?:jpe?g|png|bmp)"
        return self.list_table_or_folders(tree, pattern, "anger/S001_....png and so on")
