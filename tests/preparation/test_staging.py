"""Builds of the same dataset that begin and end at the same time."""

import os
import shutil
from pathlib import Path

import pytest

from tdgan_jax.preparation import staging


@pytest.fixture
def opened(monkeypatch):
    """Names of folders that vanish just before they are opened."""
    vanishing = []
    really_open = os.open

    def open_after_removal(path, flags, *more, **options):
        if vanishing and Path(path).name.startswith(vanishing[0]):
            vanishing.pop()
            shutil.rmtree(path)
        return really_open(path, flags, *more, **options)

    monkeypatch.setattr(staging.os, "open", open_after_removal)
    return vanishing


def test_a_build_that_has_just_ended_is_nothing_to_clean_up(opened, tmp_path):
    (tmp_path / ".preparing_dots_ended").mkdir()
    opened.append(".preparing_dots_ended")
    with staging.staging_folder(tmp_path, "dots") as folder:
        assert os.listdir(tmp_path) == [folder.name]
    assert opened == [] and os.listdir(tmp_path) == []


def test_a_folder_that_was_taken_for_abandoned_is_made_anew(opened, tmp_path):
    opened.append(".preparing_dots_")
    with staging.staging_folder(tmp_path, "dots") as folder:
        assert opened == []
        assert os.listdir(tmp_path) == [folder.name]
    assert os.listdir(tmp_path) == []
