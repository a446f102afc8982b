"""Builder of Aff-Wild2: cropped frames with both an expression and valence and arousal."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import tensorflow_datasets as tfds

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import AFF_WILD2_CODES, BASIC_EXPRESSIONS
from tdgan_jax.preparation.annotation_pickles import (
    AffWild2Row,
    annotations_of_source,
    load_aff_wild2_annotations,
)
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.printing import printable

from .annotations import (
    INVALID,
    Frame,
    Labels,
    affects_of,
    expressions_of,
    is_expression,
    people_of,
)

# The owner's names of the two tasks changed between the challenges.
_EXPRESSIONS = r"EXPR_(?:Set|Classification_Set|Classification_Challenge|Recognition_Challenge)"
_AFFECTS = r"VA_(?:Set|Estimation_Set|Estimation_Challenge)"
_PARTS = r"(?P<part>Train|Validation)(?:ing)?_Set"
_VIDEO = r"(?P<video>[^/]+)\.txt"
_FRAME = r"(?P<video>[^/]+)/(?P<number>\d{5,})\.(?:jpe?g|png)"
_SPLITS = {"train": "train", "validation": "test"}
_ANNOTATIONS = r"data_affwild2\.pkl"
_EXPECTED = (
    "EXPR_Set/Train_Set/<video>.txt, EXPR_Set/Validation_Set, VA_Set/Train_Set and "
    "VA_Set/Validation_Set, or data_affwild2.pkl, with cropped_aligned/<video>/00001.jpg"
)


class _Labelled(NamedTuple):
    """A frame with both labels, in a split."""

    split: str
    frame: Frame
    labels: Labels


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
        listed = self._without_shared_videos(
            [self._image(one, files[one.frame]) for one in labelled]
        )
        self.notes.update({name: count for name, count in self._left_out.items() if count})
        return listed

    def _files(self, tree: SourceTree) -> dict[Frame, str]:
        """The files of the frames."""
        found: dict[Frame, str] = {}
        for match in tree.matches(_FRAME, anywhere=True):
            frame = Frame(match["video"], int(match["number"]))
            other = found.setdefault(frame, match.string)
            if other != match.string:
                raise UserError(
                    f"{self.title}: frame {frame.number} of the video {printable(frame.video)} is "
                    f"there twice, as {printable(other)} and {printable(match.string)}; move one "
                    "of them out of the source"
                )
        self.check_layout(tree, found, _EXPECTED)
        return found

    def _joined(
        self, tree: SourceTree, tables: Sequence[re.Match[str]], files: Mapping[Frame, str]
    ) -> Iterator[_Labelled]:
        """The frames of the owner's files that have both labels."""
        affects = self._affects(tree)
        num_files = Counter(frame.video for frame in files)
        unlabelled = num_files.keys() - {match["video"] for match in tables}
        self._left_out["videos_without_expressions"] = len(unlabelled)
        for match in tables:
            video, split = match["video"], _SPLITS[match["part"].lower()]
            if not num_files[video]:
                self._left_out["videos_without_frames"] += 1
                continue
            num_lines = 0
            for number, code in expressions_of(self.text(tree, match.string), match.string):
                frame = Frame(video, number)
                num_lines += frame in files
                if self._is_usable(frame, code, affects, files):
                    yield _Labelled(split, frame, Labels(code, affects[frame]))
            self._left_out["frames_without_a_line"] += num_files[video] - num_lines

    def _is_usable(
        self,
        frame: Frame,
        code: int,
        affects: Mapping[Frame, tuple[float, float]],
        files: Mapping[Frame, str],
    ) -> bool:
        """Whether a frame has both labels and a file; counts why not."""
        if frame not in files:
            self._left_out["labels_without_a_frame"] += 1
        elif code == INVALID:
            self._left_out["frames_without_expression"] += 1
        elif not is_expression(code):
            self._left_out["frames_of_another_expression"] += 1
        elif frame not in affects:
            self._left_out["frames_without_affect"] += 1
        else:
            return True
        return False

    def _affects(self, tree: SourceTree) -> dict[Frame, tuple[float, float]]:
        """Valence and arousal of all frames where both are valid, whatever the video's part."""
        found: dict[Frame, tuple[float, float]] = {}
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
            for number, affect in affects_of(self.text(tree, match.string), match.string):
                if affect is not None:
                    found[Frame(video, number)] = affect
        return found

    def _annotated(
        self, tree: SourceTree, name: str, files: Mapping[Frame, str]
    ) -> Iterator[_Labelled]:
        """The frames of Emotion-GCN's annotations, which have both labels."""
        parts = annotations_of_source(tree, name, load_aff_wild2_annotations)
        seen: set[tuple[str, Frame]] = set()
        for part, split in (("train", "train"), ("val", "test")):
            for row in parts[part]:
                frame = self._frame_of(name, row)
                if (split, frame) in seen:
                    raise UserError(
                        f"{printable(name)}: {printable(row.frame_path)} is there twice"
                    )
                seen.add((split, frame))
                if frame in files:
                    yield _Labelled(
                        split, frame, Labels(row.expression, (row.valence, row.arousal))
                    )
                elif not self.partial:
                    self.bad_file(row.frame_path, "the file is missing")

    def _frame_of(self, name: str, row: AffWild2Row) -> Frame:
        *_, video, file = ("", *row.frame_path.replace("\\", "/").split("/"))
        number = file.partition(".")[0]
        if not video or not number.isdecimal():
            raise UserError(
                f"{printable(name)}: {printable(row.frame_path)} is no path such as "
                "<video>/00001.jpg"
            )
        if not is_expression(row.expression):
            raise UserError(
                f"{printable(name)}: {printable(row.frame_path)} has the expression "
                f"{row.expression}, not one of 0 to {max(AFF_WILD2_CODES)}"
            )
        return Frame(video, int(number))

    def _image(self, labelled: _Labelled, name: str) -> ListedImage:
        video = labelled.frame.video
        return ListedImage(
            file=f"{video}/{name.rpartition('/')[2]}",
            name=name,
            split=labelled.split,
            expression=AFF_WILD2_CODES[labelled.labels.expression],
            affect=labelled.labels.affect,
            subject=people_of(video),
        )

    def _without_shared_videos(self, listed: list[ListedImage]) -> list[ListedImage]:
        """Takes frames of test videos out of the training, both people of a video included."""
        test = {image.subject for image in listed if image.split == "test"}
        shared = Counter(i.subject for i in listed if i.split == "train" and i.subject in test)
        self._left_out["training_frames_of_test_videos"] += shared.total()
        return [i for i in listed if i.split != "train" or i.subject not in shared]
