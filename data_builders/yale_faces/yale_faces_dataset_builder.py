"""Builder of the Yale faces: a small set with identities and four expressions."""

import tensorflow_datasets as tfds

from tdgan_jax.expressions import canonical_name, in_canonical_order
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.image_workers import Reading
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.source_tree import SourceTree

EXPRESSIVE = ("happy", "normal", "sad", "surprised")
CONDITIONS = (
    *EXPRESSIVE,
    *("centerlight", "glasses", "leftlight", "noglasses", "rightlight", "sleepy", "wink"),
)
SIZE_PX = (320, 243)


class Builder(ImageBuilder):
    """Builds `yale_faces` from the folder or zip file with `subject01.happy` and so on."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The Yale face database is a free download (yalefaces.zip), for example from\n"
        "https://www.kaggle.com/datasets/olgabelitskaya/yale-face-database; the owner's page is\n"
        "http://cvc.cs.yale.edu/cvc/projects/yalefaces/yalefaces.html"
    )
    HOMEPAGE = "http://cvc.cs.yale.edu/cvc/projects/yalefaces/yalefaces.html"
    READING = Reading(channels=1, size_px=SIZE_PX)
    HAS_FOLDS = True
    DETECT = "mtcnn"
    # Of subject01 the owner's centerlight is named otherwise: 164 or 165 images.
    DOCUMENTED = {
        "yale_faces": {
            "subjects": 15,
            **{canonical_name(condition): 15 for condition in EXPRESSIVE},
        }
    }

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The four expressions; the other conditions are -1."""
        return in_canonical_order(map(canonical_name, EXPRESSIVE))

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists `subject<nn>.<condition>`, also with `.gif` behind it."""
        pattern = rf"(?P<subject>subject\d\d)\.(?P<condition>{'|'.join(CONDITIONS)})(?:\.gif)?"
        found = self.find(tree, pattern, "subject01.happy, subject01.sad, ...")
        listed: dict[str, ListedImage] = {}
        for match in found:
            subject, condition = match["subject"].lower(), match["condition"].lower()
            file = f"{subject}.{condition}"
            expression = canonical_name(condition) if condition in EXPRESSIVE else None
            image = listed_image(match, expression=expression, subject=subject)
            listed.setdefault(file, image._replace(file=file))
        return list(listed.values())
