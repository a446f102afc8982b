import builtins
import math

import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.inference.records import (
    FIXED_COLUMNS,
    FaceRecord,
    Records,
    columns,
    probability_columns,
    row_of,
)

FULL = FaceRecord(
    file="a.mp4",
    frame=3,
    time_s=0.12,
    face=0,
    track=2,
    box=(1.0, 2.0, 30.0, 40.5),
    score=0.99,
    landmarks=((5.0, 6.0), (7.0, 8.0), (9.0, 10.0), (11.0, 12.0), (13.0, 14.0)),
    status="ok",
    label="happiness",
    probabilities={"happiness": 0.75, "label": 0.25},
    valence=0.5,
    arousal=-0.5,
)
NAMES = ("happiness", "label")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["anger", "fear"], ["anger", "fear"]),
        (["label", "file", "status"], ["p_label", "p_file", "p_status"]),
        # A name that looks like the way out is a name too.
        (["label", "p_label", "fear"], ["p_p_label", "p_label", "fear"]),
        (["p_label", "label"], ["p_label", "p_p_label"]),
        (["a\nb", "valence"], ["a\\nb", "p_valence"]),
    ],
)
def test_a_probability_never_stands_in_another_column(names, expected):
    assert probability_columns(names) == dict(zip(names, expected, strict=True))
    assert columns(names) == [*FIXED_COLUMNS, *expected]
    assert len(set(columns(names))) == len(columns(names))


def test_a_row_holds_the_record():
    row = row_of(FULL, NAMES)
    assert list(row) == columns(NAMES)
    assert [row[side] for side in ("left", "top", "right", "bottom")] == [1, 2, 30, 40.5]
    assert (row["left_eye_x"], row["mouth_right_y"]) == (5, 14)
    assert (row["label"], row["happiness"], row["p_label"]) == ("happiness", 0.75, 0.25)
    empty = row_of(FaceRecord(file="b.png"), NAMES)
    assert {name: value for name, value in empty.items() if value is not None} == {
        "file": "b.png",
        "status": "no_face",
    }


def test_records_are_a_list():
    records = Records([FULL, FaceRecord()], NAMES)
    assert len(records) == 2 and records[0] is FULL and records[-1].status == "no_face"
    assert records[1:] == [FaceRecord()] and records[1:].expression_names == NAMES
    assert list(records) == records == Records([FULL, FaceRecord()], NAMES)
    assert FULL in records and repr(records).startswith("[FaceRecord(file='a.mp4'")


def test_a_table_of_pandas():
    pandas = pytest.importorskip("pandas")
    table = Records([FULL, FaceRecord(file="b.png")], NAMES).to_pandas()
    assert list(table.columns) == columns(NAMES)
    assert table["track"].dtype == "Int64" and table["score"].dtype == "float64"
    assert table.loc[0, "p_label"] == 0.25 and table.loc[0, "frame"] == 3
    assert table.loc[1, "frame"] is pandas.NA and math.isnan(table.loc[1, "happiness"])
    assert table.loc[1, "label"] is None
    assert len(Records([], NAMES).to_pandas()) == 0


def test_without_pandas_the_error_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'tdgan-jax\[pandas\]'"):
        Records([FULL], NAMES).to_pandas()
