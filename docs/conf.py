"""How the documentation is built: `sphinx-build -W -b html docs docs/_build`, without a network.

The pages of the datasets and that of the measured speeds are beside the code that they describe.
They are copied into `docs/_from_the_tree`, and links lead to the copies.
"""

import importlib.metadata
import os
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

project = "tdgan_jax"
author = "The tdgan_jax authors"
project_copyright = author
release = importlib.metadata.version("tdgan-jax")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"tdgan_jax {release}"

myst_heading_anchors = 3
default_role = "code"  # of single backticks in docstrings
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"

COPIED = DOCS / "_from_the_tree"
SPEED = COPIED / "speed.md"
COPIES = {
    ROOT / "benchmarks" / "README.md": SPEED,
    **{
        page: COPIED / "datasets" / f"{page.parent.name}.md"
        for page in ROOT.glob("data_builders/*/README.md")
    },
}
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)")


def with_links_to_copies(text: str, folder: Path, new_folder: Path) -> str:
    """A page for another folder, whose links to copied pages lead to the copies."""

    def moved(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        return f"]({os.path.relpath(COPIES.get(target, target), new_folder)}{link[2] or ''})"

    return LINK.sub(moved, text)


def below_title(title: str, text: str) -> str:
    """A page whose headings come below a title; a line that begins with # may be code."""
    parts = text.split("```")
    parts[::2] = [re.sub(r"^#", "##", part, flags=re.MULTILINE) for part in parts[::2]]
    return f"# {title}\n\n{'```'.join(parts)}"


def copy_pages(app: Any) -> None:
    """Copies the pages, with a title each."""
    for page, copy in COPIES.items():
        text = with_links_to_copies(page.read_text(encoding="utf-8"), page.parent, copy.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = below_title("Speed", text) if copy == SPEED else f"# {copy.stem}\n\n{text}"
        copy.write_text(text, encoding="utf-8")


def link_to_copies(app: Any, name: str, source: list[str]) -> None:
    """Changes the links of a page that is read."""
    if not name.startswith("_"):
        source[0] = with_links_to_copies(source[0], DOCS, DOCS)


def leave_out_field(app: Any, kind: str, name: str, member: Any, skip: bool, options: Any) -> bool:
    """Whether a member is left out: the docstring of a tuple's class describes its fields."""
    return skip or type(member).__name__ == "_tuplegetter"


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("autodoc-skip-member", leave_out_field)
    app.connect("builder-inited", copy_pages)
    app.connect("source-read", link_to_copies)
