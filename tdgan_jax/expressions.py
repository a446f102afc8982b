"""Expression names, their order, and how datasets number and spell them.

This is the only place where these facts exist. Labels travel by name everywhere else: a dataset
and a checkpoint carry their ordered names, and a class index means nothing without them.
"""

from collections.abc import Mapping
from types import MappingProxyType

from tdgan_jax.errors import UserError

BASIC_EXPRESSIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""The seven classes of the papers; the index is RAF-DB's code less one."""

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

# Nouns, adjectives, and the two- and three-letter codes of JAFFE, BU-3DFE, KDEF and others.
_SPELLINGS = {
    "surprise": ("surprised", "surprising", "astonished", "su", "sur"),
    "fear": ("fearful", "afraid", "scared", "fe", "fea", "af"),
    "disgust": ("disgusted", "disgusting", "di", "dis"),
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
