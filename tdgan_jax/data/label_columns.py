"""The labels of a prepared dataset as columns, kept beside its records in `labels.npz`.

The file holds, by `<split>/<column>`, an array a column (the fields of `LabelColumns`), its rows in
the order of the records; texts are UTF-8. It is written when a dataset is prepared, so that to open
one reads no image. Of datasets that were built before there was such a file, and where it does not
fit the records, the labels are read from the records.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.files import open_file

FILE_NAME = "labels.npz"
UNLABELLED = -1
_RECORDS_AT_A_TIME = 256  # several times faster than one by one


class LabelColumns(NamedTuple):
    """What is known of the examples of a split, in the order of its records.

    Attributes:
        digest: uint8 `[N, 32]`, SHA-256 of each encoded image.
        expression: int `[N]`, -1 where unknown; each of these is None where the dataset has none.
        expression_votes: float32 `[N, C]`.
        other_votes: float32 `[N, K]`.
        affect: float32 `[N, 2]`, NaN where unknown.
        identity: int `[N]`, -1 where unknown.
        subject: bytes `[N]`, UTF-8, empty where unknown.
        file: bytes `[N]`, UTF-8.
        duplicated_in_train: bool `[N]`.
    """

    digest: np.ndarray
    expression: np.ndarray | None = None
    expression_votes: np.ndarray | None = None
    other_votes: np.ndarray | None = None
    affect: np.ndarray | None = None
    identity: np.ndarray | None = None
    subject: np.ndarray | None = None
    file: np.ndarray | None = None
    duplicated_in_train: np.ndarray | None = None


def read_columns(builder: Any, split: str) -> LabelColumns:
    """Reads the labels of a split; no image where they stand beside the records.

    Args:
        builder: A prepared builder (`data.builders.open_dataset`).
        split: A TFDS split expression.

    Returns:
        The columns, in the order of `builder.as_data_source(split)`.

    Raises:
        ValueError: If there is no such split.
        UserError: If the file of the labels is damaged.
    """
    rows = _rows_by_split(builder, split)
    path = builder.data_path / FILE_NAME
    if not path.exists():
        return _columns_of_records(builder, split)
    try:
        # Opened here, because numpy leaves a damaged file open.
        with open_file(path) as file, np.load(file, allow_pickle=False) as stored:
            parts = [_stored_part(builder, stored, name, chosen) for name, chosen in rows]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path} is damaged ({error}); remove it, and the labels are read from the records"
        ) from error
    present = [part for part in parts if part is not None]
    if len(present) < len(parts):
        return _columns_of_records(builder, split)
    if not present:
        raise UserError(f"the split {split!r} of {builder.name} holds no image")
    columns = zip(*present, strict=True)
    return LabelColumns._make(None if c[0] is None else np.concatenate(c) for c in columns)


def write_columns(builder: Any) -> None:
    """Writes the labels of all splits beside the records.

    Args:
        builder: A prepared builder.
    """
    arrays = {
        f"{split}/{name}": column
        for split in builder.info.splits
        for name, column in _columns_of_records(builder, split)._asdict().items()
        if column is not None
    }
    with (builder.data_path / FILE_NAME).open("wb") as file:
        np.savez_compressed(file, **arrays)


def _stored_part(
    builder: Any, stored: Mapping[str, np.ndarray], split: str, rows: slice
) -> LabelColumns | None:
    """Some rows of a split; None if the file is not of these records."""
    digests = stored[f"{split}/digest"]
    if len(digests) != builder.info.splits[split].num_examples:
        return None
    columns = {"digest": digests[rows]}
    for name in LabelColumns._fields[1:]:
        key = f"{split}/{name}"
        if key in stored:
            columns[name] = stored[key][rows]
    return LabelColumns(**columns)


def _rows_by_split(builder: Any, split: str) -> list[tuple[str, slice]]:
    """The rows of the owner's splits that a split expression takes, in order."""
    start_of: dict[str, tuple[str, int]] = {}
    for name, info in builder.info.splits.items():
        start = 0
        for path, length in zip(info.filepaths, info.shard_lengths, strict=True):
            start_of[path.name] = name, start
            start += length
    rows = []
    for part in builder.info.splits[split].file_instructions:
        name, start = start_of[part.filename.rpartition("/")[2]]
        first = start + part.skip
        rows.append((name, slice(first, first + part.take)))
    return rows


def _columns_of_records(builder: Any, split: str) -> LabelColumns:
    import tensorflow_datasets as tfds  # a second, which those who read no dataset are spared

    skipped = {"image": tfds.decode.SkipDecoding()}
    source = builder.as_data_source(split=split, decoders=skipped)
    names = [name for name in LabelColumns._fields if name in builder.info.features]
    values: dict[str, list[Any]] = {name: [] for name in names}
    digests = bytearray()
    for start in range(0, len(source), _RECORDS_AT_A_TIME):
        for record in source.__getitems__(range(len(source))[start : start + _RECORDS_AT_A_TIME]):
            digests += hashlib.sha256(record["image"]).digest()
            for name in names:
                values[name].append(record[name])
    return LabelColumns(
        digest=np.frombuffer(digests, np.uint8).reshape(-1, hashlib.sha256().digest_size),
        **{name: _column(column) for name, column in values.items()},
    )


def _column(values: list[Any]) -> np.ndarray:
    if values and isinstance(values[0], str):
        values = [value.encode() for value in values]
    return np.array(values)
