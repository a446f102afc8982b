"""Builder of MMI: the middle frames of its frontal videos of six expressions."""

import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds
from PIL import Image

from tdgan_jax.data.image_files import encode_png
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import MMI_CODES, basic_name
from tdgan_jax.preparation.label_table import find_label_table, read_label_table
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.posed_builder import PosedBuilder, PosedConfig
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.preparation.video_frames import read_frames

NUM_SUBJECTS = 31
NUM_SEQUENCES = 208
NUM_MIDDLE_FRAMES = 3
FRONTAL_VIEW = "0"
# Rows of the recordings that were made with an upright camera.
_UPRIGHT_HEIGHT_PX = 480

_FIRST = -1


class Builder(PosedBuilder):
    """Builds `mmi` from the owner's sessions (videos with xml files), or from a csv file."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        PosedConfig(
            name="without_neutral",
            description="Three middle frames of 208 sequences: 624 images (IF-GAN).",
            has_neutral=False,
        ),
        PosedConfig(
            name="with_neutral",
            description="The same with the first frames as neutral: 832 images.",
            has_neutral=True,
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "MMI is given to researchers who ask for an account: https://mmifacedb.eu"
    )
    HOMEPAGE = "https://mmifacedb.eu"
    DETECT = "mtcnn"
    DOCUMENTED = {
        config.name: {
            "subjects": NUM_SUBJECTS,
            "images": NUM_SEQUENCES * (NUM_MIDDLE_FRAMES + config.has_neutral),
        }
        for config in BUILDER_CONFIGS
    }

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the images of the csv file, or else frames of the frontal videos."""
        if table := find_label_table(tree):
            listed = read_label_table(tree, table, basic_name, required=("expression", "subject"))
            return [image for image in listed if image.expression in self.expression_names]
        found = self.find(
            tree,
            r"Sessions/\d+/(?P<subject>S\d+)-\d+\.avi",
            "Sessions/1/S001-001.avi, S001-001.xml, session.xml and so on, or a csv file with the "
            "columns image, expression and subject",
        )
        listed, self.notes["unlabelled_sequences"] = [], 0
        for match in found:
            expression = self._expression(tree, match.string)
            if expression is None:
                self.notes["unlabelled_sequences"] += 1
                continue
            if self._session(tree, match.string, "track", "view") != FRONTAL_VIEW:
                continue
            frames = [(position, expression) for position in range(NUM_MIDDLE_FRAMES)]
            if self.has_neutral:
                frames.insert(0, (_FIRST, "neutral"))
            listed += [
                listed_image(match, expression=shown, subject=match["subject"])._replace(
                    file=f"{match['path']}#{'first' if position == _FIRST else position}",
                    position=position,
                )
                for position, shown in frames
            ]
        return listed

    def files(
        self, tree: SourceTree, listed: Sequence[ListedImage]
    ) -> Iterator[tuple[ListedImage, bytes]]:
        """Reads the wanted frames of every video in one go."""
        for name, group in itertools.groupby(listed, key=lambda image: image.name):
            images = list(group)
            if images[0].position is None:
                yield from super().files(tree, images)
                continue
            frames = self.try_file(name, lambda name=name: self._frames(tree, name))
            if frames is not None:
                yield from ((image, encode_png(frames[image.position])) for image in images)

    def _frames(self, tree: SourceTree, name: str) -> dict[int | None, Image.Image]:
        def choose(count: int) -> list[int]:
            middle = (count - NUM_MIDDLE_FRAMES) // 2
            return [0, *range(middle, middle + NUM_MIDDLE_FRAMES)]

        frames = read_frames(tree.read(name), choose)
        if frames[0].height != _UPRIGHT_HEIGHT_PX and not self._has_action_units(tree, name):
            frames = [frame.transpose(Image.Transpose.ROTATE_270) for frame in frames]
        return dict(zip([_FIRST, *range(NUM_MIDDLE_FRAMES)], frames, strict=True))

    def _has_action_units(self, tree: SourceTree, name: str) -> bool:
        """Whether it is of the part coded by onset, apex and offset, filmed upright."""
        return f"{name.removesuffix('.avi')}-oao_aucs.xml" in tree.names

    def _expression(self, tree: SourceTree, name: str) -> str | None:
        label = f"{name.rpartition('.')[0]}.xml"
        if label not in tree.names:
            return None
        for tag in self._parsed(tree, label).iter("Metatag"):
            if tag.get("Name") == "Emotion":
                value = tag.get("Value", "")
                return MMI_CODES.get(int(value)) if value.isdecimal() else None
        return None

    def _session(self, tree: SourceTree, name: str, element: str, attribute: str) -> str | None:
        session = self._parsed(tree, f"{name.rpartition('/')[0]}/session.xml")
        found = session.find(f".//{element}[@{attribute}]")
        return None if found is None else found.get(attribute)

    def _parsed(self, tree: SourceTree, name: str) -> ElementTree.Element:
        try:
            return ElementTree.fromstring(self.text(tree, name))
        except (ElementTree.ParseError, ValueError) as error:
            raise UserError(f"{self.title}: {name} is not readable XML ({error})") from error
