"""Builder of RaFD (the Radboud Faces Database): its frontal photographs."""

import tensorflow_datasets as tfds

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS, basic_name
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.posed_builder import PosedBuilder
from tdgan_jax.preparation.source_tree import SourceTree

NUM_SUBJECTS = 67
NUM_GAZES = 3
FRONTAL_DEGREES = 90

_NAME = (
    r"Rafd(?P<degrees>\d{3})_(?P<model>\d\d)_(?P<ethnicity>[a-z]+)_"
    r"(?P<gender>female|male)_(?P<expression>[a-z]+)_(?P<gaze>frontal|left|right)\.(?:jpe?g|png)"
)


class Builder(PosedBuilder):
    """Builds `rafd` from photographs that carry the owner's names."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "RaFD is given to researchers of universities who ask for an account: https://rafd.socsci."
        "ru.nl"
    )
    HOMEPAGE = "https://rafd.socsci.ru.nl"
    DETECT = "mtcnn"
    DOCUMENTED = {
        "rafd": {"subjects": NUM_SUBJECTS}
        | dict.fromkeys(BASIC_EXPRESSIONS, NUM_SUBJECTS * NUM_GAZES)
    }

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the frontal photographs, whatever folders they are in."""
        expected = "Rafd090_01_Caucasian_female_angry_frontal.jpg and so on"
        found = self.find(tree, _NAME, expected, anywhere=True)
        listed: dict[str, ListedImage] = {}
        for match in found:
            expression = basic_name(match["expression"])
            if int(match["degrees"]) != FRONTAL_DEGREES or expression is None:
                continue
            file = match["path"]
            if file in listed:
                raise UserError(
                    f"{self.title}: {listed[file].name} and {match.string} are the same "
                    "photograph; remove one of them"
                )
            listed[file] = listed_image(match, expression=expression, subject=match["model"])
        if not listed:
            raise UserError(f"{self.title}: no frontal photograph (Rafd090_...) in {tree.path}")
        return [listed[file] for file in sorted(listed)]
