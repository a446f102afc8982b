"""Builder of RAF-DB's single-label subset, from the owner's archive or from class folders."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import tensorflow_datasets as tfds

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS, RAF_DB_CODES, canonical_name
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.source_tree import SourceTree

# In the order of BASIC_EXPRESSIONS. All numbers differ, so that they tell the classes apart.
COUNTS = {
    "train": (1290, 281, 717, 4772, 1982, 705, 2524),
    "test": (329, 74, 160, 1185, 478, 162, 680),
}

_DOCUMENTED = {
    f"{split}/{expression}": count
    for split, counts in COUNTS.items()
    for expression, count in zip(BASIC_EXPRESSIONS, counts, strict=True)
}
NUMBERED = "numbered"
# What folders mean that are numbered from 1, as the owner does, or from 0, as MA-Net's program.
_ORDERS: tuple[Mapping[str, str], ...] = (
    {str(code): name for code, name in RAF_DB_CODES.items()},
    {
        **{"0": "neutral", "1": "happiness", "2": "sadness", "3": "surprise"},
        **{"4": "fear", "5": "disgust", "6": "anger"},
    },
)

_IMAGE = r"(?P<split>train|test)_(?P<number>\d+)(?:_aligned)?\.(?:jpe?g|png)"
_EXPECTED = (
    "basic/EmoLabel/list_patition_label.txt with basic/Image/aligned/train_00001_aligned.jpg, "
    "or train/<class>/... and test/<class>/..."
)


class Builder(ImageBuilder):
    """Builds `raf_db` from the owner's list file, or from folders named by class or number."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "RAF-DB is given to researchers who sign its licence form and write from the address of\n"
        "their institution: http://www.whdeng.cn/raf/model1.html"
    )
    HOMEPAGE = "http://www.whdeng.cn/raf/model1.html"
    HAS_SUBJECTS = False
    HAS_TEST_SPLIT = True
    DOCUMENTED = {"raf_db": _DOCUMENTED, NUMBERED: _DOCUMENTED}
    FURTHER_CONFIGS = [
        tfds.core.BuilderConfig(
            name=NUMBERED,
            description="train/1 to 7 and test/1 to 7, or 0 to 6: files of any name (MA-Net).",
        )
    ]

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The seven expressions, in the order of the owner's codes 1 to 7."""
        return BASIC_EXPRESSIONS

    def list_images(self, tree: SourceTree) -> list[ListedImage]:
        """Lists the images of the list file, or else those in class folders."""
        if self.builder_config is not None:
            return self._list_numbered(tree)
        lists = tree.matches(r"(?:basic/)?(?:EmoLabel/)?list_par?tition_label\.txt")
        if lists:
            return self._list_by_file(tree, lists[0].string)
        folders = tree.matches(rf"(?P<folder>train|test)/(?P<class>[^/]+)/{_IMAGE}")
        if not folders and tree.matches(rf"(?:basic/)?(?:Image/)?aligned/{_IMAGE}"):
            raise UserError(
                f"{self.title}: the images are there, but not EmoLabel/list_patition_label.txt; "
                "unpack the owner's EmoLabel folder beside the folder Image"
            )
        if not folders:
            folders = self.find(
                tree, rf"DATASET/(?P<folder>train|test)/(?P<class>[^/]+)/{_IMAGE}", _EXPECTED
            )
        return self._list_by_folder(folders)

    def _list_by_file(self, tree: SourceTree, name: str) -> list[ListedImage]:
        images = {
            f"{match['split'].lower()}_{match['number']}": match
            for match in tree.matches(rf"(?:basic/)?Image/aligned/{_IMAGE}")
            or self.find(tree, _IMAGE, _EXPECTED)
        }
        listed = []
        lines = self.text(tree, name).splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            match = re.fullmatch(r"((train|test)_\d+)\.jpg\s+([1-7])", line.strip())
            if match is None:
                raise UserError(
                    f"{name} line {number} is {line.strip()!r}, not like 'train_00001.jpg 5'"
                )
            image = images.get(match[1])
            if image is None:
                if not self.partial:
                    self.bad_file(f"{match[1]}_aligned.jpg", "the file is missing")
                continue
            expression = RAF_DB_CODES[int(match[3])]
            listed.append(
                listed_image(image, split=match[2], expression=expression)._replace(file=match[1])
            )
        return sorted(listed, key=lambda image: (image.split != "train", image.file))

    def _list_by_folder(self, matches: Iterable[re.Match[str]]) -> list[ListedImage]:
        matches = list(matches)
        found: dict[str, Counter[str]] = {"train": Counter(), "test": Counter()}
        for match in matches:
            found[match["folder"].lower()][match["class"]] += 1
        meaning = self._meaning(found)
        return [
            listed_image(
                match, split=match["folder"].lower(), expression=meaning[match["class"]]
            )._replace(file=f"{match['split'].lower()}_{match['number']}")
            for match in sorted(matches, key=lambda m: (m["folder"].lower() != "train", m["path"]))
        ]

    def _list_numbered(self, tree: SourceTree) -> list[ListedImage]:
        """Lists what stands in numbered folders, whatever the names of the files."""
        pattern = r"(?P<folder>train|test)/(?P<class>\d)/[^/]+\.(?:jpe?g|png|bmp)"
        matches = self.find(tree, pattern, "train/1/<image> to train/7 and test/1 to test/7")
        meaning = self._meaning_of_numbers({match["class"] for match in matches})
        return [
            listed_image(match, split=match["folder"].lower(), expression=meaning[match["class"]])
            for match in sorted(matches, key=lambda m: (m["folder"].lower() != "train", m["path"]))
        ]

    def _meaning_of_numbers(self, folders: Collection[str]) -> Mapping[str, str]:
        """The expressions of numbered folders, told by the first or the last of them."""
        fitting = [order for order in _ORDERS if set(folders) <= order.keys()]
        if len(fitting) != 1:
            raise UserError(
                f"{self.title}: the folders are numbered {', '.join(sorted(folders))}; expected "
                "1 to 7 in the owner's order (surprise, fear, disgust, happiness, sadness, anger, "
                "neutral) or 0 to 6 in MA-Net's (neutral, happiness, sadness, surprise, fear, "
                "disgust, anger)"
            )
        return fitting[0]

    def _meaning(self, found: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
        folders = {folder for counts in found.values() for folder in counts}
        if not all(folder.isdecimal() for folder in folders):
            return {folder: canonical_name(folder) for folder in folders}
        return recognise_order(found, self.DOCUMENTED["raf_db"])


def recognise_order(
    found: Mapping[str, Mapping[str, int]], documented: Mapping[str, int]
) -> dict[str, str]:
    """Finds out which expressions numbered folders stand for, from the number of their images.

    Copies of the set circulate with the owner's numbers 1 to 7, with 0 to 6 in the same order, and
    with 0 to 6 in the alphabetical and other orders; the numbers alone tell nothing.

    Args:
        found: For `train` and `test` the number of images in each folder.
        documented: The documented numbers by split and expression, e.g. `train/anger`.

    Returns:
        The expression of each folder.

    Raises:
        UserError: If a folder's numbers are not those of exactly one expression.
    """
    meaning = {}
    folders = sorted({folder for counts in found.values() for folder in counts}, key=int)
    for folder in folders:
        numbers = {split: counts.get(folder, 0) for split, counts in found.items()}
        fitting = [
            name
            for name in BASIC_EXPRESSIONS
            if all(documented[f"{split}/{name}"] == count for split, count in numbers.items())
        ]
        if len(fitting) != 1:
            raise UserError(
                f"the folders are numbered {', '.join(folders)}, and several orders of the "
                f"classes are in use; folder {folder} has {numbers['train']} training and "
                f"{numbers['test']} test images, which fits "
                f"{' and '.join(fitting) if fitting else 'no expression'}; complete the set, or "
                "rename the folders to surprise, fear, disgust, happiness, sadness, anger, neutral"
            )
        meaning[folder] = fitting[0]
    return meaning
