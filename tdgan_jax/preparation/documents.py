"""Which files of a source tell of its images in words; not those that may hold labels."""

from pathlib import PurePath

_SUFFIXES = frozenset(
    (
        ".txt .md .rst .rtf .pdf .doc .docx .odt .htm .html .css .js .log .bib .py .ipynb .m .r"
        " .sh .bat .sha256 .md5"
    ).split()
)
_NAMES = frozenset("readme license licence copying citation authors changelog".split())


def is_document(name: str) -> bool:
    """Whether nobody would look for a file in the dataset: a text, a program, a licence.

    Args:
        name: Its name or path.
    """
    path = PurePath(name.lower())
    return path.suffix in _SUFFIXES or path.name in _NAMES
