"""What is known of a face: a record in Python, a row in csv and JSON lines, with the same values.

Boxes and landmarks are in pixels of the upright picture, times in seconds. Values are rounded here,
once: places to a tenth of a pixel, everything else to six decimals.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from tdgan_jax.errors import UserError
from tdgan_jax.inference.faces import Box
from tdgan_jax.printing import printable

if TYPE_CHECKING:
    import pandas

NO_FACE, DECODE_ERROR = "no_face", "decode_error"

Point = tuple[float, float]
Row = dict[str, Any]

_SIDES = ("left", "top", "right", "bottom")
_POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_LANDMARKS = tuple(f"{point}_{axis}" for point in _POINTS for axis in ("x", "y"))
_WHOLE_NUMBERS = ("frame", "face", "track")
_BEFORE_BOX = ("file", "frame", "time_s", "face", "track")
_AFTER_BOX = ("score", *_LANDMARKS, "status", "reason", "label", "valence", "arousal")
FIXED_COLUMNS = (*_BEFORE_BOX, *_SIDES, *_AFTER_BOX)
_TEXTS = ("file", "status", "reason", "label")
_PREFIX = "p_"


class FaceRecord(NamedTuple):
    """A face, or a picture without one; what does not apply is None.

    Attributes:
        file: The picture or video, as it can be printed; None for a picture in memory.
        frame: Number of the frame of a video, or of the picture in memory among those that were
            given, from 0.
        time_s: When the frame is shown, from the start of the video.
        face: Number of the face in its picture, from 0, the largest first.
        track: Number of the face in its video, from 0: the same in all frames through which it
            can be followed.
        box: Left, top, right, bottom; the whole picture where no faces were looked for.
        score: How sure the detector is, 0 to 1.
        landmarks: x and y of the left and the right eye, the tip of the nose, the left and the
            right corner of the mouth, as seen in the picture.
        status: `ok`, `no_face`, `cut_off` (the picture's edge cuts through the face), `profile`
            (seen too much from the side), `decode_error`.
        reason: Of a `decode_error`.
        label: The most probable expression; only with `ok`, as all that follows.
        probabilities: Of each expression, by its name.
        valence: From -1 to 1, where the model knows it.
        arousal: The same.
    """

    file: str | None = None
    frame: int | None = None
    time_s: float | None = None
    face: int | None = None
    track: int | None = None
    box: Box | None = None
    score: float | None = None
    landmarks: tuple[Point, ...] | None = None
    status: str = NO_FACE
    reason: str | None = None
    label: str | None = None
    probabilities: Mapping[str, float] | None = None
    valence: float | None = None
    arousal: float | None = None


def probability_columns(expression_names: Sequence[str]) -> dict[str, str]:
    """Expression to the column of its probability: its own name, as it can be printed.

    One that is the name of another column gets `p_` before it, as often as needed.
    """
    printed = [printable(name) for name in expression_names]
    taken = {*FIXED_COLUMNS, *(name for name in printed if name not in FIXED_COLUMNS)}
    columns: dict[str, str] = {}
    for name, column in zip(expression_names, printed, strict=True):
        if column in FIXED_COLUMNS or column in columns.values():
            while column in taken:
                column = _PREFIX + column
            taken.add(column)
        columns[name] = column
    return columns


def columns(expression_names: Sequence[str]) -> list[str]:
    """Names of the columns: of the picture, of the face, and a probability per expression."""
    return [*FIXED_COLUMNS, *probability_columns(expression_names).values()]


def row_of(record: FaceRecord, expression_names: Sequence[str]) -> Row:
    """A record as a row: a value, or None, by the name of each column."""
    fields = record._asdict()
    row: Row = {name: fields.get(name) for name in columns(expression_names)}
    if record.label is not None:
        row["label"] = printable(record.label)
    if record.box is not None:
        row |= zip(_SIDES, record.box, strict=True)
    if record.landmarks is not None:
        places = (place for point in record.landmarks for place in point)
        row |= zip(_LANDMARKS, places, strict=True)
    for name, column in probability_columns(expression_names).items():
        row[column] = None if record.probabilities is None else record.probabilities[name]
    return row


class Records(Sequence[FaceRecord]):
    """Records of faces, a list that knows its columns."""

    def __init__(self, records: Iterable[FaceRecord], expression_names: Sequence[str]):
        """Takes the records, and the names of the expressions in the order of their columns."""
        self._records = list(records)
        self.expression_names = tuple(expression_names)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._records)

    @overload
    def __getitem__(self, place: int) -> FaceRecord: ...
    @overload
    def __getitem__(self, place: slice) -> "Records": ...
    def __getitem__(self, place: int | slice) -> "FaceRecord | Records":
        """One of them, or some."""
        if isinstance(place, slice):
            return Records(self._records[place], self.expression_names)
        return self._records[place]

    def __iter__(self) -> Iterator[FaceRecord]:
        """All of them."""
        return iter(self._records)

    def __eq__(self, other: object) -> bool:
        """Whether these are the same records."""
        return isinstance(other, Records | list) and self._records == list(other)

    def __repr__(self) -> str:
        """As a list."""
        return repr(self._records)

    def rows(self) -> list[Row]:
        """What `predict` writes: a value, or None, by the name of each column."""
        return [row_of(record, self.expression_names) for record in self]

    def to_pandas(self) -> "pandas.DataFrame":
        """A table with the columns and values of `predict`'s csv.

        Returns:
            Numbers are `float64`, NaN where they do not apply; `frame`, `face` and `track` are
            `Int64`, texts are objects, `pandas.NA` and None where they do not apply.

        Raises:
            UserError: If pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise UserError("to_pandas needs pandas: pip install 'tdgan-jax[pandas]'") from error
        names = columns(self.expression_names)
        rows = self.rows()
        table = {}
        for name in names:
            kind = "object" if name in _TEXTS else "Int64" if name in _WHOLE_NUMBERS else "float64"
            table[name] = pandas.Series([row[name] for row in rows], dtype=kind)
        return pandas.DataFrame(table, columns=names)
