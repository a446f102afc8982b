"""Builder of Aff-Wild2: cropped frames with both an expression and valence and arousal."""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import AFF_WILD2_CODES, BASIC_EXPRESSIONS, checked_name
from tdgan_jax.preparation.annotation_pickles import (
    AffWild2Row,
    annotations_of_source,
    load_aff_wild2_annotations,
)
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.printing import printable

from .annotations import INVALID, affects_of, expressions_of, people_of

# The owner's names of the two tasks changed between the challenges.
_EXPRESSIONS = r"EXPR_(?:Set|Classification_Set|Classification_Challenge|Recognition_Challenge)"
_AFFECTS = r"VA_(?:Set|Estimation_Set|Estimation_Challenge)"
_PARTS = r"(?P<part>Train|Validation)(?:ing)?_Set"
_VIDEO = r"(?P<video>[^/]+)\.txt"
_FRAME = re.compile(r"(?:.*/)?(?P<video>[^/]+)/(?P<number>\d{5,9})\.(?:jpe?g|png)", re.IGNORECASE)
_SPLITS = {"train": "train", "validation": "test"}
_ANNOTATIONS = r"data_affwild2\.pkl"
_EXPECTED = (
    "EXPR_Set/Train_Set/<video>.txt, EXPR_Set/Validation_Set, VA_Set/Train_Set and "
    "VA_Set/Validation_Set, or data_affwild2.pkl, with cropped_aligned/<video>/00001.jpg"
)


_UNKNOWN = (math.nan, math.nan)
# By the name of a video, with the side of the person where it shows two, and the frame's number
# from 1: the frame's file.
_Files = Mapping[str, Mapping[int, str]]


class Builder(ImageBuilder):
    """Builds `aff_wild2`; the owner's validation videos, of which papers report, are `test`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Aff-Wild2 is given to researchers whose institution signs its licence:\n"
        "https://ibug.doc.ic.ac.uk/resources/aff-wild2/"
    )
    HOMEPAGE = "https://ibug.doc.ic.ac.uk/resources/aff-wild2/"
    HAS_TEST_SPLIT = True
    HAS_AFFECT = True

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The seven expressions."""
        return BASIC_EXPRESSIONS

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the frames that have both labels, of videos of one part alone."""
        self._left_out: Counter[str] = Counter()
        pickled = tree.matches(_ANNOTATIONS)
        tables = tree.matches(rf"{_EXPRESSIONS}/{_PARTS}/{_VIDEO}")
        self.check_layout(tree, tables or pickled, _EXPECTED)
        files = self._files(tree)
        if tables:
            labelled = self._joined(tree, tables, files)
        else:
            labelled = self._annotated(tree, pickled[0].string, files)
        listed = self._without_shared_videos(list(labelled))
        self.notes.update({name: count for name, count in self._left_out.items() if count})
        return listed

    def _files(self, tree: SourceTree) -> _Files:
        """The files of the frames."""
        found: defaultdict[str, dict[int, str]] = defaultdict(dict)
        for name in tree.names:
            match = _FRAME.fullmatch(name)
            if match is None:
                continue
            number = int(match["number"])
            other = found[match["video"]].setdefault(number, name)
            if other != name:
                raise UserError(
                    f"{self.title}: frame {number} of the video {printable(match['video'])} is "
                    f"there twice, as {printable(other)} and {printable(name)}; move one of them "
                    "out of the source"
                )
        self.check_layout(tree, found, _EXPECTED)
        return {checked_name(video, "the name of the video"): found[video] for video in found}

    def _joined(
        self, tree: SourceTree, tables: Sequence[re.Match[str]], files: _Files
    ) -> Iterator[ListedImage]:
        """The frames of the owner's files that have both labels."""
        affects = self._affects(tree)
        unlabelled = files.keys() - {match["video"] for match in tables}
        self._left_out["videos_without_expressions"] = len(unlabelled)
        for match in tables:
            video, split = match["video"], _SPLITS[match["part"].lower()]
            if video not in files:
                self._left_out["videos_without_frames"] += 1
                continue
            num_lines = 0
            of_video = affects[video].tolist() if video in affects else []
            for number, code in expressions_of(self.text(tree, match.string), match.string):
                name = files[video].get(number)
                num_lines += name is not None
                valence, arousal = of_video[number - 1] if number <= len(of_video) else _UNKNOWN
                if self._is_usable(name, code, valence) and name is not None:
                    yield _image(split, video, name, code, (valence, arousal))
            self._left_out["frames_without_a_line"] += len(files[video]) - num_lines

    def _is_usable(self, name: str | None, code: int, valence: float) -> bool:
        """Whether a frame has a file and both labels; counts why not."""
        if name is None:
            self._left_out["labels_without_a_frame"] += 1
        elif code == INVALID:
            self._left_out["frames_without_expression"] += 1
        elif code not in AFF_WILD2_CODES:
            self._left_out["frames_of_another_expression"] += 1
        elif math.isnan(valence):
            self._left_out["frames_without_affect"] += 1
        else:
            return True
        return False

    def _affects(self, tree: SourceTree) -> dict[str, np.ndarray]:
        """Valence and arousal of all frames of each video, whatever its part."""
        found: dict[str, np.ndarray] = {}
        file_of: dict[str, str] = {}
        matches = tree.matches(rf"{_AFFECTS}/{_PARTS}/{_VIDEO}")
        self.check_layout(tree, matches, _EXPECTED)
        for match in matches:
            video = match["video"]
            if file_of.setdefault(video, match.string) != match.string:
                raise UserError(
                    f"{self.title}: {printable(file_of[video])} and {printable(match.string)} both "
                    "hold valence and arousal of one video; move one of them out of the source"
                )
            found[video] = affects_of(self.text(tree, match.string), match.string)
        return found

    def _annotated(self, tree: SourceTree, source: str, files: _Files) -> Iterator[ListedImage]:
        """The frames of Emotion-GCN's annotations, which have both labels."""
        parts = annotations_of_source(tree, source, load_aff_wild2_annotations)
        for part, split in (("train", "train"), ("val", "test")):
            seen: set[tuple[str, int]] = set()
            for row in parts[part]:
                video, number = self._frame_of(source, row)
                if (video, number) in seen:
                    raise UserError(
                        f"{printable(source)}: {printable(row.frame_path)} is there twice"
                    )
                seen.add((video, number))
                name = files.get(video, {}).get(number)
                if name is not None:
                    affect = row.valence, row.arousal
                    yield _image(split, video, name, row.expression, affect)
                elif not self.partial:
                    self.bad_file(row.frame_path, "the file is missing")

    def _frame_of(self, source: str, row: AffWild2Row) -> tuple[str, int]:
        *_, video, file = ("", *row.frame_path.replace("\\", "/").split("/"))
        match = re.fullmatch(r"(\d{1,9})\.\w+", file)
        if not video or match is None:
            raise UserError(
                f"{printable(source)}: {printable(row.frame_path)} is no path such as "
                "<video>/00001.jpg"
            )
        if row.expression not in AFF_WILD2_CODES:
            raise UserError(
                f"{printable(source)}: {printable(row.frame_path)} has the expression "
                f"{row.expression}, not one of 0 to {max(AFF_WILD2_CODES)}"
            )
        return unicodedata.normalize("NFC", video), int(match[1])

    def _without_shared_videos(self, listed: list[ListedImage]) -> list[ListedImage]:
        """Takes frames of test videos out of the training, both people of a video included."""
        test = {image.subject for image in listed if image.split == "test"}
        shared = Counter(i.subject for i in listed if i.split == "train" and i.subject in test)
        self._left_out["training_frames_of_test_videos"] = shared.total()
        return [i for i in listed if i.split != "train" or i.subject not in shared]


def _image(
    split: str, video: str, name: str, code: int, affect: tuple[float, float]
) -> ListedImage:
    return ListedImage(
        file=f"{video}/{name.rpartition('/')[2]}",
        name=name,
        split=split,
        expression=AFF_WILD2_CODES[code],
        affect=affect,
        subject=people_of(video),
    )
