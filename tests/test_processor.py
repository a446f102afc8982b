"""How a program takes huge pages: by starting again, once, with the same arguments."""

import json
import os
import subprocess
import sys

import pytest

from tdgan_jax.processor import HUGE_PAGES, MEMORY_SETTINGS

PROGRAM = """\
import json, os, sys
from tdgan_jax.processor import restart_with_huge_pages
print("started")
sys.stdout.flush()
restart_with_huge_pages()
print(json.dumps([os.getpid(), os.environ["GLIBC_TUNABLES"], sys.argv[1:], sys.flags.optimize]))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="huge pages are Linux's")


def start(tmp_path, environment: dict[str, str]) -> tuple[int, list[str]]:
    """The process identifier and the lines that the program printed."""
    script = tmp_path / "a program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, "-O", str(script), "--name", "two words", ""]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    printed, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return child.pid, printed.splitlines()


def test_the_same_process_starts_once_more_with_the_same_arguments(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != MEMORY_SETTINGS}
    pid, lines = start(tmp_path, environment)
    assert lines[:-1] == ["started", "started"]
    assert json.loads(lines[-1]) == [pid, HUGE_PAGES, ["--name", "two words", ""], 1]


@pytest.mark.parametrize("own", ["", "glibc.malloc.trim_threshold=1000000"])
def test_settings_of_the_user_stay_as_they_are(tmp_path, own):
    pid, lines = start(tmp_path, os.environ | {MEMORY_SETTINGS: own})
    assert lines[:-1] == ["started"]
    assert json.loads(lines[-1]) == [pid, own, ["--name", "two words", ""], 1]
