import pytest

from tdgan_jax import expressions
from tdgan_jax.errors import UserError


def test_order_is_that_of_raf_db():
    assert expressions.BASIC_EXPRESSIONS == (
        "surprise",
        "fear",
        "disgust",
        "happiness",
        "sadness",
        "anger",
        "neutral",
    )
    assert expressions.EXPRESSIONS == (*expressions.BASIC_EXPRESSIONS, "contempt")


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("happy", "happiness"),
        ("hap", "happiness"),
        ("Happiness", "happiness"),
        ("HA", "happiness"),
        ("angry", "anger"),
        ("AN", "anger"),
        ("surprised", "surprise"),
        ("fearful", "fear"),
        ("afraid", "fear"),
        ("AF", "fear"),
        ("sad", "sadness"),
        ("disgusted", "disgust"),
        ("contemptuous", "contempt"),
        ("normal", "neutral"),
        (" Neutral ", "neutral"),
    ],
)
def test_common_spellings(spelling, name):
    assert expressions.canonical_name(spelling) == name


def test_every_canonical_name_is_its_own_spelling():
    for name in expressions.EXPRESSIONS:
        assert expressions.canonical_name(name) == name
        assert expressions.canonical_name(name.upper()) == name


def test_no_spelling_stands_for_two_expressions():
    spellings = [s for group in expressions._SPELLINGS.values() for s in group]
    assert len(set(spellings)) == len(spellings)
    assert not set(spellings) & set(expressions.EXPRESSIONS)


@pytest.mark.parametrize("spelling", ["smug", "", "5", "happyy"])
def test_unknown_spelling_lists_the_known_names(spelling):
    with pytest.raises(UserError) as raised:
        expressions.canonical_name(spelling)
    for name in expressions.EXPRESSIONS:
        assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_dataset_codes_by_name():
    assert [expressions.RAF_DB_CODES[code] for code in range(1, 8)] == list(
        expressions.BASIC_EXPRESSIONS
    )
    assert expressions.CK_PLUS_CODES[2] == "contempt"
    assert expressions.CK_PLUS_CODES[7] == "surprise"
    assert sorted(expressions.CK_PLUS_CODES) == list(range(8))
    assert set(expressions.CK_PLUS_CODES.values()) == set(expressions.EXPRESSIONS)
    assert [expressions.FER2013_CODES[code] for code in range(7)] == [
        expressions.canonical_name(spelling)
        for spelling in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    ]
