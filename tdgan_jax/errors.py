"""Errors that a user can cause and cure: one clear line each, never a traceback.

The commands catch `UserError`, print its message to stderr and leave with `exit_code`.
"""

import difflib
from collections.abc import Collection


class UserError(Exception):
    """The work cannot be done; the message says what to do about it (exit code 1)."""

    exit_code = 1


class UsageError(UserError):
    """The command or the configuration is wrong (exit code 2)."""

    exit_code = 2


def unknown_name(field: str, given: object, known: Collection[str]) -> UsageError:
    """The error for a name that is none of the known ones; it says which one is nearest.

    Args:
        field: Where the name stands, e.g. "data.pairing".
        given: What stands there.
        known: What may stand there, one name at least.
    """
    near = difflib.get_close_matches(str(given), known, n=1, cutoff=0.0)
    return UsageError(f"{field} is {given!r}; did you mean {near[0]!r}? Known: {', '.join(known)}")
