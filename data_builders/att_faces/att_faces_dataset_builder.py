"""Builder of the AT&T (ORL) faces: a face dataset with identities and no expressions."""

import tensorflow_datasets as tfds

from tdgan_jax.errors import UserError
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.image_workers import Reading
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.source_tree import SourceTree

NUM_SUBJECTS = 40
IMAGES_PER_SUBJECT = 10
SIZE_PX = (92, 112)
SUBJECTS = tuple(f"s{number}" for number in range(1, NUM_SUBJECTS + 1))


class Builder(ImageBuilder):
    """Builds `att_faces` from the folder or zip file with `s1/1.pgm` to `s40/10.pgm`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The AT&T (ORL) faces are a free download (att_faces.zip), for example from\n"
        "https://cam-orl.co.uk/facedatabase.html or https://www.kaggle.com/datasets/kasikrit/"
        "att-database-of-faces"
    )
    HOMEPAGE = "https://cam-orl.co.uk/facedatabase.html"
    READING = Reading(channels=1, size_px=SIZE_PX)

    @property
    def identity_names(self) -> tuple[str, ...]:
        """All forty people, also where the source holds only some."""
        return SUBJECTS

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the 40 x 10 files, and deals with those that are missing."""
        found = {
            (int(match["subject"]), int(match["number"])): match
            for match in self.find(
                tree, r"s(?P<subject>\d+)/(?P<number>\d+)\.pgm", "s1/1.pgm to s40/10.pgm"
            )
        }
        documented = [
            (subject, number)
            for subject in range(1, NUM_SUBJECTS + 1)
            for number in range(1, IMAGES_PER_SUBJECT + 1)
        ]
        for undocumented in sorted(found.keys() - set(documented)):
            raise UserError(
                f"att_faces: {found[undocumented].string} is not one of the 40 x 10 "
                "documented files; remove it from the source"
            )
        listed = []
        for subject, number in documented:
            match, file = found.get((subject, number)), f"s{subject}/{number}.pgm"
            if match is not None:
                listed.append(listed_image(match, subject=f"s{subject}")._replace(file=file))
            elif not self.partial:
                self.bad_file(file, "the file is missing")
        return listed
