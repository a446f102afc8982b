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
        ("disguest", "disgust"),
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


def test_mmi_codes_by_name():
    assert [expressions.AFFECTNET_CODES[code] for code in range(11)] == [
        *("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
        *(None, None, None),
    ]
    assert [expressions.AFF_WILD2_CODES[code] for code in range(7)] == [
        *("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
    ]
    assert dict(expressions.MMI_CODES) == {
        1: "anger",
        2: "disgust",
        3: "fear",
        4: "happiness",
        5: "sadness",
        6: "surprise",
    }


def test_six_expressions_are_the_seven_in_the_same_order_without_neutral():
    assert expressions.SIX_EXPRESSIONS == (
        "surprise",
        "fear",
        "disgust",
        "happiness",
        "sadness",
        "anger",
    )


def test_contempt_is_no_basic_expression_and_unknown_names_stop():
    assert expressions.basic_name("Contemptuous") is None
    assert expressions.basic_name("happy") == "happiness"
    with pytest.raises(UserError, match="unknown expression 'smug'"):
        expressions.basic_name("smug")


def test_own_classes_keep_their_names_and_follow_the_known_ones():
    assert expressions.class_name(" HAP ") == "happiness"
    assert expressions.class_name(" Bored ") == "Bored"
    names = ["zeal", "neutral", "Bored", "surprise", "contempt", "zeal"]
    assert expressions.in_canonical_order(names) == (
        "surprise",
        "neutral",
        "contempt",
        "Bored",
        "zeal",
    )
