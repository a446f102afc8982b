"""Files that a pattern or a folder stands for: every real one once, whatever links there are."""

import glob
import os
from collections import deque
from collections.abc import Iterator

from tdgan_jax.errors import UserError
from tdgan_jax.printing import printable

_ANY_DEPTH = "**"


def walk(root: str) -> Iterator[tuple[str, list[str]]]:
    """Goes through a folder and all below it, those behind links last.

    Hidden folders are left out. Every real folder is visited once: links that lead back, or to the
    same place, end there.

    Args:
        root: The folder.

    Yields:
        A folder, and the sorted names of the files in it.

    Raises:
        UserError: If a folder cannot be listed.
    """
    visited: set[tuple[int, int]] = set()
    waiting = deque([root])
    while waiting:
        for parent, folders, files in os.walk(waiting.popleft(), onerror=_cannot_list):
            status = os.stat(parent)
            identity = (status.st_dev, status.st_ino)
            shown = sorted(name for name in folders if not name.startswith("."))
            links = {name for name in shown if os.path.islink(os.path.join(parent, name))}
            folders[:] = [name for name in shown if name not in links]
            if identity in visited:
                folders.clear()
                continue
            visited.add(identity)
            waiting.extend(os.path.join(parent, name) for name in shown if name in links)
            yield parent, sorted(files)


def holds_links(root: str) -> bool:
    """Whether anything below a folder is a link: without one, no file there has two names.

    Args:
        root: The folder; what is hidden in it does not count.

    Raises:
        UserError: If a folder cannot be listed.
    """
    waiting = [root]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_symlink():
                        return True
                    if entry.is_dir():
                        waiting.append(entry.path)
        except OSError as error:
            _cannot_list(error)
    return False


def matches(pattern: str) -> list[str]:
    """Paths that a pattern with `*`, `?`, `[...]` or `**` stands for, sorted.

    Args:
        pattern: As the standard library's `glob` takes it; `**` is any number of folders that are
            not hidden, through which `walk` goes.

    Raises:
        UserError: If a folder cannot be listed.
    """
    parts = pattern.split(os.sep)
    if _ANY_DEPTH not in parts:
        return sorted(glob.glob(pattern))
    position = parts.index(_ANY_DEPTH)
    head, rest = os.sep.join(parts[:position]), os.sep.join(parts[position + 1 :]) or "*"
    is_absolute = position > 0 and not parts[0]
    roots = [head or os.sep if is_absolute else head or os.curdir]
    if glob.has_magic(head):
        roots = [path for path in sorted(glob.glob(head)) if os.path.isdir(path)]
    found: dict[str, None] = {}
    for root in roots:
        for folder, _ in walk(root) if os.path.isdir(root) else ():
            below = folder.removeprefix(os.curdir).removeprefix(os.sep) if not head else folder
            found |= dict.fromkeys(matches(os.path.join(glob.escape(below), rest)))
    return sorted(found)


def _cannot_list(error: OSError) -> None:
    raise UserError(f"cannot list the folder {printable(error.filename)}: {error.strerror}")
