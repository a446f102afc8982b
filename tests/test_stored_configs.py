"""Configurations of older runs: younger fields count as their defaults, unknown ones are named."""

import re

import pytest

from tdgan_jax.configuration import (
    load_config,
    to_json,
)
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.opening import open_run
from tdgan_jax.exchange.selected_runs import read_config
from tdgan_jax.files import write_json
from tdgan_jax.runs.folder import read_run
from tdgan_jax.training.checks import check_same_config

CONFIG = "configs/tdgan_synthetic.py:tiny"


def stored_in(folder, *, without=(), **more):
    """A stored configuration without some fields, and with some of another version."""
    stored = to_json(load_config(CONFIG))
    for name in without:
        *sections, field = name.split(".")
        section = stored
        for part in sections:
            section = section[part]
        del section[field]
    write_json(folder / "config.json", stored | more)
    return stored


def test_fields_that_are_younger_than_a_run_count_as_their_defaults(tmp_path):
    younger = ("training.discriminator_warmup_steps", "data.augmentation", "precision", "parallel")
    stored_in(tmp_path, without=younger)
    check_same_config(load_config(CONFIG), tmp_path)
    today = to_json(load_config(CONFIG))
    assert read_config(tmp_path).to_dict() == read_run(tmp_path).config == today
    other = load_config(CONFIG, ["data.augmentation.contrast=0.5", "precision=bfloat16"])
    with pytest.raises(UsageError) as raised:
        check_same_config(other, tmp_path)
    assert [line.strip() for line in str(raised.value).splitlines()[1:-1]] == [
        "data.augmentation.contrast: 0.0 -> 0.5",
        'precision: "float32" -> "bfloat16"',
    ]


def test_what_a_file_makes_of_a_younger_field_is_not_what_the_run_did(tmp_path):
    stored_in(tmp_path, without=["model.noise_channels"])
    assert read_config(tmp_path).model.noise_channels == 256
    with pytest.raises(UsageError, match="model.noise_channels: 256 -> 4"):
        check_same_config(load_config(CONFIG), tmp_path)


def test_a_field_that_is_unknown_today_is_named_in_one_line(tmp_path):
    stored_in(tmp_path, loss={"old_weight": 0.5}, older=1)
    message = re.escape(f"{tmp_path / 'config.json'} has loss.old_weight, older, which this")
    for read in (read_config, open_run):
        with pytest.raises(UserError, match=f"^{message}.*; use the one that trained it$"):
            read(tmp_path)
    with pytest.raises(UsageError, match="loss.old_weight: 0.5 -> absent"):
        check_same_config(load_config(CONFIG), tmp_path)
