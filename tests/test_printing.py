import os
import subprocess
import sys
from pathlib import Path

import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.printing import NobodyReads, printable, printable_lines, stdout_errors

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Zoë 顔 🙂 a\\b.png", "Zoë 顔 🙂 a\\b.png"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        (os.fsdecode(b"\xff\xfe.png"), "\\xff\\xfe.png"),
        ("a\ud800\x85\x9b", "a\\ud800\\x85\\x9b"),
        ("gpj\u202e.exe \u2028", "gpj\\u202e.exe \\u2028"),
        (Path("a/b"), "a/b"),
    ],
)
def test_nothing_in_a_name_steers_a_terminal(name, shown):
    assert printable(name) == shown
    assert printable_lines(f"{name}\nnext") == (
        "two\nlines\\r\\t\nnext" if "two" in shown else f"{shown}\nnext"
    )


def test_what_cannot_be_printed_is_said():
    with pytest.raises(UserError, match="cannot write the standard output: No space left"):
        with stdout_errors():
            raise OSError(28, "No space left on device")
    with pytest.raises(NobodyReads), stdout_errors():
        raise BrokenPipeError


def program(command, *, encoding="utf-8", stdin=b""):
    """A command line of the shell, `$P` is the program."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": encoding,
        "PYTHONUNBUFFERED": "",
        "GLIBC_TUNABLES": "",
        "P": f"{sys.executable} -m tdgan_jax",
    }
    return subprocess.run(
        ["bash", "-c", command], env=environment, input=stdin, capture_output=True, timeout=120
    )


def test_errors_are_one_line_whatever_the_name_and_the_encoding():
    done = program("$P predict $'none\\e2J\\n\\xff\\xc3\\xa9.png'", encoding="ascii")
    assert (done.returncode, done.stdout) == (1, b"")
    line = rb"tdgan-jax: there is no file or folder none\x1b2J\n\xff\xe9.png" + b"\n"
    assert done.stderr == line
    done = program("$P predict a --every $'\\e[2J'")
    assert done.returncode == 2 and b"\x1b" not in done.stderr


def test_closed_streams_are_no_traceback(tmp_path):
    for command, code, error in (
        ("$P predict - <&-", 1, b"tdgan-jax: the standard input is closed; there is no list to"),
        ("$P predict none >&-", 1, b"tdgan-jax: there is no file or folder none\n"),
        ("$P predict none 2>&-", 1, b""),
        ("$P predict none <&- >&- 2>&-", 1, b""),
        ("$P --help >&-", 0, b""),
        ("$P --help > /dev/full", 1, b"tdgan-jax: cannot write the standard output: No space"),
        ("set -o pipefail; $P --help | true", 0, b""),
    ):
        done = program(command)
        assert done.returncode == code, command
        assert done.stderr.startswith(error) and done.stderr.count(b"\n") <= 1, command
        assert done.stderr or not error
