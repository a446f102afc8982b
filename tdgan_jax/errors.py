"""Errors that a user can cause and cure: one clear line each, never a traceback.

The commands catch `UserError`, print its message to stderr and leave with `exit_code`.
"""


class UserError(Exception):
    """The work cannot be done; the message says what to do about it (exit code 1)."""

    exit_code = 1


class UsageError(UserError):
    """The command or the configuration is wrong (exit code 2)."""

    exit_code = 2
