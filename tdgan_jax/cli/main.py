"""The program `tdgan-jax`: reads the command line, calls one command, reports errors.

A command is a file of this package with `add_parser(subparsers)` and `run(args) -> int`, named in
`COMMANDS`. Its heavy imports stand inside `run`, so that `tdgan-jax --help` answers at once.
"""

import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

import tdgan_jax
from tdgan_jax.cli import (
    attention,
    demo,
    doctor,
    evaluate,
    export,
    import_,
    interpolate,
    predict,
    prepare,
    report,
    train,
    transfer,
)
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.printing import (
    NobodyReads,
    flush_stdout,
    forget_stdout,
    print_text,
    printable,
    use_safe_streams,
)

COMMANDS = (
    prepare,
    doctor,
    train,
    evaluate,
    predict,
    transfer,
    interpolate,
    attention,
    export,
    import_,
    report,
    demo,
)


class _Parser(argparse.ArgumentParser):
    """Its messages quote what the user wrote."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of all commands.

    Returns:
        A parser whose result has the chosen command's `run` as an attribute.
    """
    parser = _Parser(
        prog="tdgan-jax",
        description="Facial expression recognition in JAX: six systems, from data to export.",
        epilog="example: tdgan-jax prepare att_faces --source ~/Downloads/att_faces.zip",
    )
    parser.add_argument("--version", action="version", version=f"tdgan-jax {tdgan_jax.__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers).set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 the work failed, 2 wrong use, 130 interrupted.
    """
    use_safe_streams()
    try:
        code = _run(arguments)
        flush_stdout()
        return code
    except NobodyReads:
        forget_stdout()
        return 0
    except UserError as error:
        print_text(f"tdgan-jax: {error}", aside=True)
        return error.exit_code
    except KeyboardInterrupt:
        print_text("tdgan-jax: interrupted", aside=True)
        return 130
    except RuntimeError as error:
        if not str(error).startswith("Unable to initialize backend"):
            raise
        platforms = os.environ.get("JAX_PLATFORMS", "")
        print_text(f"tdgan-jax: no devices with JAX_PLATFORMS={platforms!r}: {error}", aside=True)
        return 2 if platforms else 1


def _run(arguments: Sequence[str] | None) -> int:
    try:
        args, unknown = build_parser().parse_known_args(arguments)
    except SystemExit as stop:  # argparse has printed its message, or the help.
        return int(stop.code or 0)
    if getattr(args, "takes_overrides", False):
        args.overrides = train.overrides_from(unknown)
    elif unknown:
        raise UsageError(f"unrecognized arguments {' '.join(unknown)}; see --help")
    return args.run(args)
