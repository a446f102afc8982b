"""The whole of a builder whose dataset is a collection of labelled images.

A builder of this kind says what its images are and lists them: `list_images` knows the owner's
layout, and nothing else does. Reading, checking, duplicates, folds and writing stand here. Images
pass through memory one batch at a time: what is read waits in a file without a name (it is gone
when the process is) until the division into splits is known.
"""

import functools
import hashlib
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import tensorflow_datasets as tfds

from tdgan_jax.data.image_files import (
    DIGEST_BYTES,
    FaceImage,
    NoFaceImage,
    StoredImage,
)
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import in_canonical_order
from tdgan_jax.preparation.division import Division, folds, one_split, owners_splits
from tdgan_jax.preparation.face_images import note_cropping, stored_face
from tdgan_jax.preparation.image_features import image_example, image_features
from tdgan_jax.preparation.image_workers import Reading, read_images
from tdgan_jax.preparation.listing import ListedImage, check_listing, tally
from tdgan_jax.preparation.source_builder import Detect, SourceBuilder
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.preparation.spool import Spool

_SHARD_BYTES = 64 << 20


class ReadImages(NamedTuple):
    """The images of a source that could be read.

    Attributes:
        listed: What is known of each.
        digests: uint8 `[N, 32]`, equal for equal pictures.
        fingerprints: uint8 `[N, 32]`, nearly equal for nearly equal pictures.
    """

    listed: list[ListedImage]
    digests: np.ndarray
    fingerprints: np.ndarray


class ImageBuilder(SourceBuilder, skip_registration=True):
    """A builder of labelled images.

    A subclass says with the attributes below what its images are, and implements `list_images`.
    Its class docstring, README and `MANUAL_DOWNLOAD_INSTRUCTIONS` say where they come from.

    Attributes:
        HOMEPAGE: Page of the owner.
        READING: How the image files are read.
        HAS_SUBJECTS: Whether the people are known; then every image has an `identity` and a
            `subject`.
        HAS_FOLDS: Whether the dataset is divided into subject-disjoint folds.
        HAS_TEST_SPLIT: Whether the owner divided it into training and test images.
        HAS_VOTES: Whether raters voted on each image: then every image has `expression_votes`.
        OTHER_VOTES: What raters could vote for that is no expression: `other_votes`, in this order.
        HAS_AFFECT: Whether valence and arousal are known: then every image has `affect`.
        DETECT: Whether faces are cut out of its photographs where the user says nothing: `none`
            for images that show a face and little else.
        DOCUMENTED: By configuration (or the dataset's name), the owner's numbers, by the names
            that `listing.tally` gives.
    """

    HOMEPAGE: ClassVar[str] = ""
    READING: ClassVar[Reading] = Reading(channels=3)
    HAS_SUBJECTS: ClassVar[bool] = True
    HAS_FOLDS: ClassVar[bool] = False
    HAS_TEST_SPLIT: ClassVar[bool] = False
    HAS_VOTES: ClassVar[bool] = False
    OTHER_VOTES: ClassVar[tuple[str, ...]] = ()
    HAS_AFFECT: ClassVar[bool] = False
    DETECT: ClassVar[Detect] = "none"
    DOCUMENTED: ClassVar[Mapping[str, Mapping[str, int]]] = {}

    @property
    def expression_names(self) -> tuple[str, ...] | None:
        """The classes in order; empty if only the source knows them, None if there are none."""
        return None

    @property
    def identity_names(self) -> tuple[str, ...]:
        """The people in order; empty if only the source knows them."""
        return ()

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Finds the images of this configuration in the owner's layout.

        Args:
            tree: The source.

        Returns:
            The images, in an order that does not depend on the file system.

        Raises:
            UserError: If the layout is not there or contradicts itself; the message says what was
                expected.
        """
        raise NotImplementedError

    def files(
        self, tree: SourceTree, listed: Sequence[ListedImage]
    ) -> Iterator[tuple[ListedImage, bytes]]:
        """Reads the files of listed images; a subclass overrides it for tables and videos.

        Args:
            tree: The source.
            listed: What `list_images` gave.

        Yields:
            Each image with its file's content; what cannot be read goes to `bad_file`.
        """
        for image in listed:
            data = self.try_file(image.name, functools.partial(tree.read, image.name))
            if data is not None:
                yield image, data

    def checked_listing(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the images, each once, and compares their numbers with the owner's.

        Args:
            tree: The source.

        Returns:
            What `list_images` gives.

        Raises:
            UserError: On an image that is listed twice or a name in two spellings, and on the first
                difference of numbers, unless a part of the set is fine.
        """
        listed = self.list_images(tree)
        try:
            check_listing(listed)
        except UserError as error:
            raise UserError(f"{self.title}: {error}") from error
        documented = self.DOCUMENTED
        config = self.builder_config.name if self.builder_config else self.name
        if config in documented:
            self.check_counts(
                self._documented_numbers(listed),
                documented,
                found_as=functools.partial(self._numbers_as, tree),
            )
        return listed

    def _documented_numbers(self, listed: Sequence[ListedImage]) -> dict[str, int]:
        """Of what the owner gives numbers for, those of listed images."""
        counts = tally(listed)
        names = {name for numbers in self.DOCUMENTED.values() for name in numbers}
        return {name: counts[name] for name in names if counts[name]}

    def _numbers_as(self, tree: SourceTree, config: str) -> dict[str, int]:
        """What another configuration finds in a source; nothing if it finds fault with it."""
        if config not in type(self).builder_configs:
            return {}
        reader = type(self)(source=self.source, config=config, data_dir=self.data_dir_root)
        try:
            return self._documented_numbers(reader.list_images(tree))
        except UserError:
            return {}

    def stored_images(
        self, tree: SourceTree, listed: Sequence[ListedImage]
    ) -> Iterator[tuple[ListedImage, StoredImage]]:
        """Reads images as they will be stored.

        Args:
            tree: The source.
            listed: What `list_images` gave.

        Yields:
            The images that can be read, in order.

        Raises:
            UserError: Names the first bad file, unless such files are to be skipped.
        """
        bar = self.progress(listed, description=self.title)
        files = self.files(tree, bar)  # type: ignore[arg-type]
        cropping = self.cropping
        if cropping is not None:
            note_cropping(self, cropping)
        reading = self.READING._replace(cropping=cropping)
        results = read_images(
            files, reading, num_images=len(listed), box_of=operator.attrgetter("box")
        )
        for image, result in results:
            if isinstance(result, StoredImage):
                yield image, result
            elif cropping is not None and isinstance(result, FaceImage | NoFaceImage):
                face = stored_face(self, image.name, result, cropping)
                if face is not None:
                    yield image, face
            else:
                self.bad_file(image.name, str(result))

    def _info(self) -> tfds.core.DatasetInfo:
        features = image_features(
            channels=self.READING.channels,
            expression_names=self.expression_names,
            identity_names=self.identity_names if self.HAS_SUBJECTS else None,
            has_votes=self.HAS_VOTES,
            other_votes=self.OTHER_VOTES,
            has_affect=self.HAS_AFFECT,
            has_test_split=self.HAS_TEST_SPLIT,
        )
        return self.dataset_info_from_configs(
            features=features,
            homepage=self.HOMEPAGE,
            metadata=self.notes,
        )

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        with Spool(self.data_path) as self._spool:
            super()._download_and_prepare(*args, **kwargs)

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
        with self.open_source(dl_manager) as tree:
            read = self._read(tree, self.checked_listing(tree))
        self.check_not_empty(len(read.listed))
        division = self.divide(read)
        self.check_not_empty(sum(map(len, division.positions.values())))
        self._record(division)
        self._name_classes(read.listed)
        return {
            split: [
                functools.partial(self._generate_examples, read, division, shard)
                for shard in self._shards(read, positions)
            ]
            for split, positions in division.positions.items()
        }

    def _read(self, tree: SourceTree, listed: Sequence[ListedImage]) -> ReadImages:
        kept: list[ListedImage] = []
        digests, fingerprints = bytearray(), bytearray()
        for image, stored in self.stored_images(tree, listed):
            kept.append(image)
            digests += stored.digest
            fingerprints += stored.fingerprint
            self._spool.append(stored.encoded)
        return ReadImages(
            listed=kept,
            digests=np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES),
            fingerprints=np.frombuffer(fingerprints, np.uint8).reshape(-1, DIGEST_BYTES),
        )

    def encoded_images(self, positions: Iterable[int]) -> Iterator[bytes]:
        """The files of read images, as they will be stored.

        Args:
            positions: Their positions in `ReadImages`.

        Yields:
            A JPEG or PNG file each.
        """
        yield from map(self._spool.read, positions)

    def divide(self, read: ReadImages) -> Division:
        """Divides the images into splits as the class attributes say.

        Args:
            read: The images that could be read.

        Returns:
            The division.
        """
        if self.HAS_FOLDS:
            return folds(*read, progress=self.comparing)
        if self.HAS_TEST_SPLIT:
            return owners_splits(*read, progress=self.comparing)
        return one_split(read.listed)

    def comparing(self, rows: Iterable[int]) -> Iterator[int]:
        """Shows how far the comparison of all images with each other has come."""
        return self.progress(rows, description=f"{self.title}: comparing", unit=" rows")

    def _record(self, division: Division) -> None:
        self.notes.update(division.notes)
        for file_name, rows in division.tables.items():
            for row in rows:
                self.append_to_list(file_name, row)

    def _name_classes(self, listed: Sequence[ListedImage]) -> None:
        features: Any = self.info.features
        if self.expression_names == ():
            found = (image.expression for image in listed if image.expression is not None)
            features["expression"].names = list(in_canonical_order(found))
        if self.HAS_SUBJECTS and not self.identity_names:
            features["identity"].names = sorted(
                {image.identity for image in listed if image.identity is not None}
            )

    def _shards(self, read: ReadImages, positions: np.ndarray) -> list[np.ndarray]:
        """Cuts a split into shards; its records are shuffled, but always in the same way."""
        shuffled = sorted(
            map(int, positions), key=lambda i: hashlib.md5(read.listed[i].file.encode()).digest()
        )
        num_bytes = sum(self._spool.size(i) for i in shuffled)
        return np.array_split(shuffled, -(-num_bytes // _SHARD_BYTES))

    def _generate_examples(
        self, read: ReadImages, division: Division, positions: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        writing = f"{self.title}: writing"
        for position in self.progress(positions.tolist(), description=writing):
            known = image_example(
                read.listed[position],
                self._spool.read(position),
                duplicated_in_train=position in division.duplicated_in_train,
            )
            yield position, {name: known[name] for name in cast(Any, self.info.features)}
