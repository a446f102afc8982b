"""Expression names, their order, and how datasets number and spell them; what a name may be.

This is the only place where these facts exist. Labels travel by name everywhere else: a dataset
and a checkpoint carry their ordered names, and a class index means nothing without them. So that
one thing has one name, whatever wrote it, the names of classes, people and files all pass
`checked_name`.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from tdgan_jax.errors import UserError
from tdgan_jax.printing import printable

BASIC_EXPRESSIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""The seven classes of the papers; the index is RAF-DB's code less one."""

SIX_EXPRESSIONS = BASIC_EXPRESSIONS[:-1]
"""The classes of IF-GAN's posed sets: without neutral."""

EXPRESSIONS = BASIC_EXPRESSIONS + ("contempt",)
"""Every expression that any of the datasets labels."""

RAF_DB_CODES: Mapping[int, str] = MappingProxyType(dict(enumerate(BASIC_EXPRESSIONS, start=1)))
"""The codes 1 to 7 of RAF-DB's `list_patition_label.txt`."""

CK_PLUS_CODES: Mapping[int, str] = MappingProxyType(
    {
        0: "neutral",
        1: "anger",
        2: "contempt",
        3: "disgust",
        4: "fear",
        5: "happiness",
        6: "sadness",
        7: "surprise",
    }
)
"""The codes 0 to 7 of CK+'s `Emotion/*_emotion.txt` files."""

FER2013_CODES: Mapping[int, str] = MappingProxyType(
    {
        0: "anger",
        1: "disgust",
        2: "fear",
        3: "happiness",
        4: "sadness",
        5: "surprise",
        6: "neutral",
    }
)
"""The codes 0 to 6 of the column `emotion` of `fer2013.csv`."""

FERPLUS_COLUMNS = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "not_a_face"),
)
"""What the ten votes of FER+'s `label.csv` and `fer2013new.csv` are for, in their order."""

FERPLUS_RATERS = 10
"""How many people rated each photograph of FER+."""

MMI_CODES: Mapping[int, str] = MappingProxyType(
    {1: "anger", 2: "disgust", 3: "fear", 4: "happiness", 5: "sadness", 6: "surprise"}
)
"""The emotion codes of MMI's recordings; larger ones (scream, boredom, sleepiness) are no class."""

AFFECTNET_CODES: Mapping[int, str | None] = MappingProxyType(
    {
        0: "neutral",
        1: "happiness",
        2: "sadness",
        3: "surprise",
        4: "fear",
        5: "disgust",
        6: "anger",
        7: "contempt",
        8: None,
        9: None,
        10: None,
    }
)
"""The codes of AffectNet's tables; the last three (none, uncertain, no face) are no expression."""

AFF_WILD2_CODES: Mapping[int, str] = MappingProxyType(
    {
        0: "neutral",
        1: "anger",
        2: "disgust",
        3: "fear",
        4: "happiness",
        5: "sadness",
        6: "surprise",
    }
)
"""The codes 0 to 6 of Aff-Wild2's annotations of expressions."""

MAX_NAME_LENGTH = 200
"""Characters of the longest name of a class or a person."""

MAX_PATH_LENGTH = 4096
"""Characters of the longest path of a file."""

# What a program writes for a missing value; and the eighth category of AffectNet, a face that shows
# none of its expressions.
_NO_EXPRESSION = frozenset({"", "none", "null", "nan", "<na>", "n/a"})

# Unicode's categories of characters that a terminal does not show as such: control characters,
# surrogates (bytes of a file name that are no text), ends of lines and of paragraphs.
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Invisible ones reorder or hide what stands beside them. Two are letters' joiners in Persian or
# Hindi.
_INVISIBLE = "Cf"
_JOINERS = "\u200c\u200d"

# Nouns, adjectives, and the two- and three-letter codes of JAFFE, BU-3DFE, KDEF and others.
_SPELLINGS = {
    "surprise": ("surprised", "surprising", "astonished", "su", "sur"),
    "fear": ("fearful", "afraid", "scared", "fe", "fea", "af"),
    # TFEID spells its folder "disguest".
    "disgust": ("disgusted", "disgusting", "disguest", "di", "dis"),
    "happiness": ("happy", "joy", "joyful", "smile", "smiling", "ha", "hap"),
    "sadness": ("sad", "unhappy", "sa"),
    "anger": ("angry", "angered", "an", "ang"),
    "neutral": ("normal", "neutrality", "ne", "neu"),
    "contempt": ("contemptuous", "contemptous", "co", "con"),
}

_CANONICAL = {name: name for name in EXPRESSIONS} | {
    spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings
}


def checked_name(spelling: str, what: str) -> str:
    """Gives a name as it is compared and kept everywhere: in Unicode's form NFC.

    macOS hands out file names in another form, in which an accent is a character of its own: the
    same person would be two.

    Args:
        spelling: The name as it was written; white space around it does not count.
        what: What it names, for the message, e.g. `the subject`.

    Returns:
        The name.

    Raises:
        UserError: If it is empty, too long, or holds control characters or invisible ones.
    """
    return _checked(spelling, what, MAX_NAME_LENGTH, _is_hidden)


def checked_path(spelling: str, what: str) -> str:
    """Gives the name of a file as it is compared and kept everywhere.

    Args:
        spelling: The path as it was written; white space around it does not count.
        what: What it names, for the message, e.g. `the image`.

    Returns:
        The path in Unicode's form NFC; marks of the direction of writing, which some programs put
        into the names of their files, stay.

    Raises:
        UserError: If it is empty, too long, or holds control characters.
    """
    return _checked(spelling, what, MAX_PATH_LENGTH, _is_control)


def _checked(spelling: str, what: str, max_length: int, is_refused: Callable[[str], bool]) -> str:
    name = unicodedata.normalize("NFC", spelling).strip()
    if not name:
        raise UserError(f"{what} is empty")
    if len(name) > max_length:
        raise UserError(
            f"{what} '{printable(name[:20])}...' has {len(name)} characters, more than {max_length}"
        )
    refused = next(filter(is_refused, name), None)
    if refused is not None:
        raise UserError(
            f"{what} '{printable(name)}' holds the character U+{ord(refused):04X}, which cannot be "
            "shown"
        )
    return name


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROL


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category in _CONTROL or (category == _INVISIBLE and character not in _JOINERS)


def names_an_expression(spelling: str) -> bool:
    """Whether a label says what a face shows.

    Args:
        spelling: A label as a dataset or a user writes it.

    Returns:
        False of an empty one, of what programs write for a missing value, and of `None`, which
        is AffectNet's category 8: none of its expressions.
    """
    return spelling.strip().casefold() not in _NO_EXPRESSION


def canonical_name(spelling: str) -> str:
    """Gives the canonical name of an expression, whatever the case of the spelling.

    Args:
        spelling: A name as a dataset or a user writes it, e.g. `Happy`, `hap`, `AN`, `normal`.

    Returns:
        One of `EXPRESSIONS`.

    Raises:
        UserError: If no known expression is spelled so; the message lists the known names.
    """
    name = _CANONICAL.get(_folded(spelling))
    if name is None:
        raise UserError(
            f"unknown expression {spelling!r}; known are {', '.join(EXPRESSIONS)} "
            "(and common spellings of them, such as happy, angry or fearful)"
        )
    return name


def class_name(spelling: str) -> str:
    """Gives the name of a class of a user's own dataset.

    Args:
        spelling: A name as the user writes it.

    Returns:
        One of `EXPRESSIONS` where it is a known spelling of that; otherwise the name as it is.

    Raises:
        UserError: As `checked_name`.
    """
    name = checked_name(spelling, "the class")
    return _CANONICAL.get(_folded(name), name)


def _folded(spelling: str) -> str:
    return unicodedata.normalize("NFC", spelling).strip().casefold()


def in_canonical_order(names: Iterable[str]) -> tuple[str, ...]:
    """Orders classes: the known expressions as in `EXPRESSIONS`, then the others by alphabet.

    Args:
        names: Names of classes, in any order, also repeatedly.

    Returns:
        Each name once.
    """
    present = set(names)
    known = [name for name in EXPRESSIONS if name in present]
    return (*known, *sorted(present - set(known)))


def basic_name(spelling: str) -> str | None:
    """Gives the name of one of the seven classes, for datasets that label contempt, too.

    Args:
        spelling: A name as the owner writes it.

    Returns:
        One of `BASIC_EXPRESSIONS`, or None for contempt.

    Raises:
        UserError: If no known expression is spelled so.
    """
    name = canonical_name(spelling)
    return name if name in BASIC_EXPRESSIONS else None
