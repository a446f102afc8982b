"""How a program takes huge pages: by starting again, once, with the same arguments."""

import json
import os
import subprocess
import sys

import pytest

from tdgan_jax.machine import GLIBC_SETTINGS, HUGE_PAGES

PROGRAM = """\
import json, os, sys
from tdgan_jax.machine import restart_with_huge_pages
sys.executable = os.environ["PYTHON"]
print("started", flush=True)
restart_with_huge_pages()
print(json.dumps([os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:], sys.flags.optimize]))
"""
ARGUMENTS = ["--name", "two words", ""]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="huge pages are Linux's")


def start(tmp_path, own_settings: str | None = None, python: object = sys.executable):
    """The process identifier and the lines that the program printed."""
    script = tmp_path / "a program.py"
    script.write_text(PROGRAM)
    environment = os.environ | {"PYTHON": str(python)}
    environment.pop(GLIBC_SETTINGS, None)
    if own_settings is not None:
        environment[GLIBC_SETTINGS] = own_settings
    command = [sys.executable, "-O", str(script), *ARGUMENTS]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    printed, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    *starts, said = printed.splitlines()
    return child.pid, starts, json.loads(said)


def test_the_same_process_starts_once_more_with_the_same_arguments(tmp_path):
    pid, starts, said = start(tmp_path)
    assert starts == ["started"] * 2
    assert said == [pid, HUGE_PAGES, ARGUMENTS, 1]


@pytest.mark.parametrize("own", ["", "glibc.malloc.trim_threshold=1000000"])
def test_settings_of_the_user_stay_as_they_are(tmp_path, own):
    pid, starts, said = start(tmp_path, own_settings=own)
    assert starts == ["started"]
    assert said == [pid, own, ARGUMENTS, 1]


def test_a_setting_that_is_lost_on_the_way_does_not_start_it_for_ever(tmp_path):
    # The system takes it from programs that have another user's rights.
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec env -u {GLIBC_SETTINGS} {sys.executable} "$@"\n')
    python.chmod(0o755)
    pid, starts, said = start(tmp_path, python=python)
    assert starts == ["started"] * 2
    assert said == [pid, None, ARGUMENTS, 1]


def test_what_cannot_be_started_again_goes_on_as_it_is(tmp_path):
    pid, starts, said = start(tmp_path, python=tmp_path / "nowhere")
    assert starts == ["started"]
    assert said == [pid, None, ARGUMENTS, 1]
