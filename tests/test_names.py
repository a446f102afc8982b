"""The one rule for names: classes, people, files."""

import json
import unicodedata

import pytest

from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.description import read_description
from tdgan_jax.expressions import (
    MAX_NAME_LENGTH,
    canonical_name,
    checked_name,
    checked_path,
    class_name,
    names_an_expression,
)
from tdgan_jax.printing import printable
from tests.exchange.test_description import write

NFC, NFD = "Zoë Été", unicodedata.normalize("NFD", "Zoë Été")
BAD_NAMES = {
    "empty": "",
    "blank": " \t ",
    "long": "x" * (MAX_NAME_LENGTH + 1),
    "null": "a\0b",
    "line end": "a\nb",
    "escape sequence": "a\x1b[31mb",
    "line separator": "a\u2028b",
    "right to left": "a\u202eb",
    "zero width": "a\u200bb",
    "byte order mark": "a\ufeffb",
    "no text": "a\udcffb",
}


def test_two_forms_of_unicode_are_one_name():
    assert NFC != NFD
    assert checked_name(NFD, "x") == checked_name(f" {NFC} ", "x") == NFC
    assert checked_path(f"p/{NFD}.png", "x") == f"p/{NFC}.png"
    assert class_name(NFD) == NFC
    assert class_name(" HAP ") == "happiness"


@pytest.mark.parametrize("kind", BAD_NAMES)
def test_what_is_no_name(kind):
    with pytest.raises(UserError, match=r"^the subject (is empty|'.*' (has|holds)|'.*'\.\.\. has)"):
        checked_name(BAD_NAMES[kind], "the subject")
    with pytest.raises(UserError):
        class_name(BAD_NAMES[kind])


def test_names_of_other_scripts_are_names():
    for name in ("微笑", "می‌خندد", "क्‍ष", "O'Brien-Ño 3.b", "👩‍🔬"):
        assert checked_name(name, "x") == name


def test_marks_of_the_direction_of_writing_may_stand_in_paths():
    assert checked_path("\u200eimage.jpg", "x") == "\u200eimage.jpg"
    with pytest.raises(UserError):
        checked_path("a\0.jpg", "x")
    with pytest.raises(UserError):
        checked_path("x" * 5000, "x")


def test_messages_can_be_shown_and_encoded():
    for spelling in BAD_NAMES.values():
        printable(spelling).encode()
        with pytest.raises(UserError) as raised:
            checked_name(spelling, "x")
        assert printable(raised.value) == str(raised.value)


@pytest.mark.parametrize("label", ["None", " none", "nan", "NULL", "<NA>", "n/a", "", "  "])
def test_what_is_written_for_a_missing_value_is_no_expression(label):
    assert not names_an_expression(label)
    with pytest.raises(UserError):
        canonical_name(label)
    assert names_an_expression("neutral") and names_an_expression("nonesuch")


@pytest.mark.parametrize("kind", BAD_NAMES)
def test_a_model_s_names_follow_the_rule(kind, tmp_path):
    for field in ("expression_names", "identity_names"):
        path = write(tmp_path, **{field: ["fine", BAD_NAMES[kind]]})
        with pytest.raises(UserError, match=rf"is damaged: a name of {field}") as raised:
            read_description(path)
        assert printable(raised.value) == str(raised.value)


def test_a_model_s_names_are_compared_in_one_form(tmp_path):
    path = write(tmp_path, expression_names=[NFC, NFD])
    with pytest.raises(UserError, match="no list of different names"):
        read_description(path)
    path = write(tmp_path, expression_names=["happiness", NFD])
    assert json.loads(path.read_text())["expression_names"][1] == NFD
    assert read_description(path)[0].expression_names == ("happiness", NFC)


@pytest.mark.parametrize("kind", BAD_NAMES)
def test_labels_of_an_import_follow_the_rule(kind):
    from tdgan_jax.exchange.importing import _checked_names

    with pytest.raises(UsageError, match=r"^--labels(: the class| needs different names)"):
        _checked_names(("happiness", BAD_NAMES[kind]), 2)
    with pytest.raises(UsageError, match="needs different names"):
        _checked_names((NFC, NFD), 2)
