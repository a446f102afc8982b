"""Files as owners of datasets hand them out, drawn by a program."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tdgan_jax.data.builders import new_builder
from tdgan_jax.preparation.listing import tally
from tdgan_jax.preparation.source_tree import SourceTree


def picture(
    seed: int, *, size_px: tuple[int, int] = (8, 8), mode: str = "RGB", suffix: str = "PNG"
) -> bytes:
    """An image file of noise that differs for each seed."""
    shape = (size_px[1], size_px[0], 3) if mode == "RGB" else (size_px[1], size_px[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=suffix)
    return file.getvalue()


def write_tree(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Writes files below a folder, and returns it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_bytes(content)
    return folder


def subjects_by_split(builder) -> dict[str, set[str]]:
    """The people in each split of a prepared dataset."""
    return {
        split: {example["subject"].decode() for example in builder.as_data_source(split)}
        for split in builder.info.splits
    }


def assert_ten_disjoint_folds(builder, num_subjects: int) -> None:
    """Asserts the promise of every dataset with folds, on its records."""
    people = subjects_by_split(builder)
    assert list(people) == [f"fold_{number}" for number in range(10)]
    assert all(people.values())
    assert sum(map(len, people.values())) == len(set().union(*people.values())) == num_subjects


def counted(name: str, source: Path, config: str | None = None) -> dict[str, int]:
    """What `tally` says of the images that would be built; none of them is read."""
    builder = new_builder(name, config, None, source=str(source))
    with SourceTree(source) as tree:
        return tally(builder.checked_listing(tree))
