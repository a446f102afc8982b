"""Expression names, their order, and how datasets number and spell them.

This is the only place where these facts exist. Labels travel by name everywhere else: a dataset
and a checkpoint carry their ordered names, and a class index means nothing without them.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from tdgan_jax.errors import UserError

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

MMI_CODES: Mapping[int, str] = MappingProxyType(
    {1: "anger", 2: "disgust", 3: "fear", 4: "happiness", 5: "sadness", 6: "surprise"}
)
"""The emotion codes of MMI's recordings; larger ones (scream, boredom, sleepiness) are no class."""

# Nouns, adjectives, and the two- and three-letter codes of JAFFE, BU-3DFE, KDEF and others.
_SPELLINGS = {
    "surprise": ("surprised", "surprising", "astonished", "su", "sur"),
    "fear": ("fearful", "afraid", "scared", "fe", "fea", "af"),
    # TFEID spells its folder "disguest".
    "disgust": ("disgusted", "disgusting", "disguest", "di", "dis"),
    "happiness": ("happy", "joy", "joyful", "smile", "smiling", "ha", "hap"),
    "sadness": ("sad", "unhappy", "sa"),
    "anger": ("angry", "angered", "an", "ang"),
    "neutral": ("normal", "neutrality", "none", "ne", "neu"),
    "contempt": ("contemptuous", "contemptous", "co", "con"),
}

_CANONICAL = {name: name for name in EXPRESSIONS} | {
    spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings
}


def canonical_name(spelling: str) -> str:
    """Gives the canonical name of an expression, whatever the case of the spelling.

    Args:
        spelling: A name as a dataset or a user writes it, e.g. `Happy`, `hap`, `AN`, `normal`.

    Returns:
        One of `EXPRESSIONS`.

    Raises:
        UserError: If no known expression is spelled so; the message lists the known names.
    """
    name = _CANONICAL.get(spelling.strip().casefold())
    if name is None:
        raise UserError(
            f"unknown expression {spelling!r}; known are {', '.join(EXPRESSIONS)} "
            "(and common spellings of them, such as happy, angry or fearful)"
        )
    return name


def class_name(spelling: str) -> str:
    """Gives the name of a class of somebody's own dataset.

    Args:
        spelling: A name as the user writes it.

    Returns:
        One of `EXPRESSIONS` where it is a known spelling of that; otherwise the name as it is.
    """
    return _CANONICAL.get(spelling.strip().casefold(), spelling.strip())


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
