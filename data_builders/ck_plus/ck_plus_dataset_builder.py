"""Builder of CK+ (the extended Cohn-Kanade set): peak frames of labelled sequences."""

import re
from collections import defaultdict

import tensorflow_datasets as tfds

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import CK_PLUS_CODES, SIX_EXPRESSIONS
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.posed_builder import PosedBuilder, PosedConfig
from tdgan_jax.preparation.source_tree import SourceTree

PEAK_FRAMES = 3
SEQUENCES = dict(anger=45, disgust=59, fear=25, happiness=69, sadness=28, surprise=83)
# With the 18 of contempt; the other 266 of the 593 sequences have none.
NUM_LABELS = 327

Sequence = tuple[str, str]
_NAME = r"(?P<subject>S\d{3})/(?P<session>\d{3})/(?P=subject)_(?P=session)_(?P<frame>\d{8})"


class Builder(PosedBuilder):
    """Builds `ck_plus` from the owner's archives of images and of emotion labels."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        PosedConfig(
            name="with_neutral",
            description="Last three frames, and the first as neutral: 1,236 images (TDGAN).",
            has_neutral=True,
        ),
        PosedConfig(
            name="without_neutral",
            description="Last three frames of six expressions: 927 images (IF-GAN).",
            has_neutral=False,
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "CK+ is given to researchers who sign its agreement: http://www.jeffcohn.net/resources/\n"
        "(cohn-kanade-images and Emotion_labels are needed)"
    )
    HOMEPAGE = "http://www.jeffcohn.net/resources/"
    DETECT = "mtcnn"
    DOCUMENTED = {
        config.name: {name: PEAK_FRAMES * count for name, count in SEQUENCES.items()}
        | ({"neutral": sum(SEQUENCES.values())} if config.has_neutral else {})
        for config in BUILDER_CONFIGS
    }

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists frames of the sequences that carry one of the six basic expressions."""
        frames: defaultdict[Sequence, list[re.Match[str]]] = defaultdict(list)
        expected = "cohn-kanade-images/S005/001/S005_001_00000001.png and so on"
        for match in self.find(tree, rf"cohn-kanade-images/{_NAME}\.png", expected):
            frames[match["subject"], match["session"]].append(match)
        labels = self._labels(tree)
        if len(labels) != NUM_LABELS and not self.partial:
            raise UserError(
                f"{self.title}: {len(labels)} sequences carry a label where {NUM_LABELS} are "
                "documented; unpack Emotion_labels.zip again, or accept it as it is with --partial"
            )
        self.notes["unlabelled_sequences"] = len(frames.keys() - labels.keys())
        listed = []
        for sequence, (name, expression) in sorted(labels.items()):
            if expression not in SIX_EXPRESSIONS:
                continue
            there = frames.get(sequence, [])
            if len(there) <= PEAK_FRAMES:
                if there or not self.partial:
                    self.bad_file(name, f"its sequence has {len(there)} images; at least 4 needed")
                continue
            chosen = [(match, expression) for match in there[-PEAK_FRAMES:]]
            if self.has_neutral:
                chosen.insert(0, (there[0], "neutral"))
            listed += [
                listed_image(match, expression=shown, subject=match["subject"].upper())
                for match, shown in chosen
            ]
        return listed

    def _labels(self, tree: SourceTree) -> dict[Sequence, tuple[str, str]]:
        matches = tree.matches(rf"Emotion/{_NAME}_emotion\.txt")
        if not matches:
            raise UserError(
                f"{self.title}: no Emotion/S005/001/S005_001_00000011_emotion.txt and so on in "
                f"{tree.path}; unpack Emotion_labels.zip beside cohn-kanade-images"
            )
        labels: dict[Sequence, tuple[str, str]] = {}
        for match in matches:
            sequence = match["subject"], match["session"]
            if sequence in labels:
                raise UserError(
                    f"{self.title}: {labels[sequence][0]} and {match.string} label one sequence; "
                    "move one of them out of the source"
                )
            text = self.text(tree, match.string).strip()
            try:
                code = float(text)  # such as 3.0000000e+00
            except ValueError:
                code = -1.0
            if code not in CK_PLUS_CODES:
                raise UserError(
                    f"{self.title}: {match.string} holds {text!r}, not a code from 0 to 7"
                )
            expression = CK_PLUS_CODES[int(code)]
            labels[sequence] = (match.string, expression)
        return labels
