"""Five hundred damaged pictures: a row each, no traceback, nothing left behind."""

import csv
import functools
import io
import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.cli.main import main

COUNT = 500
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")
HEADERS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"RIFF\x20\x00\x00\x00WEBPVP8 ",
    b"P6\n20000 20000\n255\n",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"%!PS-Adobe-3.0 EPSF",
)


def intact(seed):
    """A drawn picture in one of the formats."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((48, 40))
    image = image.convert(generator.choice(["RGB", "L"]))
    buffer = io.BytesIO()
    image.save(buffer, format=FORMATS[seed % len(FORMATS)])
    return buffer.getvalue()


@functools.cache
def damaged(seed):
    """The picture cut off, with flipped bytes, or random bytes after a header."""
    choose = random.Random(seed)
    content = bytearray(intact(seed))
    kind = choose.choice(("cut", "flipped", "header", "cut and flipped"))
    if kind == "header":
        return choose.choice(HEADERS) + choose.randbytes(choose.randrange(400))
    if "cut" in kind:
        del content[choose.randrange(len(content)) :]
    if "flipped" in kind and content:
        # Mostly near the front, where sizes, offsets and tables stand.
        for _ in range(choose.choice((1, 2, 20))):
            reach = choose.choice((60, 300, len(content)))
            content[choose.randrange(min(reach, len(content)))] = choose.randrange(256)
    return bytes(content)


@pytest.fixture
def folder(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for seed in range(COUNT):
        Path("photos", f"{seed:03d}.png").write_bytes(damaged(seed))
    return Path("photos")


def test_in_a_folder_each_is_a_row(folder, capfd):
    arguments = ["predict", "photos", "--detect", "none", "--out", "rows.csv", "--annotate", "seen"]
    assert main(arguments) == 0
    assert capfd.readouterr().err == ""
    with open("rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"photos/{seed:03d}.png" for seed in range(COUNT)]
    statuses = [row["status"] for row in rows]
    assert set(statuses) == {"ok", "decode_error"}
    # Most are beyond repair; where a flipped byte only changed a pixel, the picture is a picture.
    assert COUNT / 2 < statuses.count("decode_error") < COUNT
    assert all(bool(row["reason"]) == (row["status"] == "decode_error") for row in rows)
    assert len(os.listdir("seen")) == statuses.count("ok")
    assert sorted(os.listdir()) == ["photos", "rows.csv", "seen"]


def test_alone_each_is_a_result_or_one_line(folder, capfd):
    for path in sorted(folder.iterdir())[::4]:
        code = main(["predict", str(path), "--detect", "none", "--out", "rows.csv"])
        out, err = capfd.readouterr()
        assert code == (0 if Path("rows.csv").exists() else 1), path
        if code:
            assert out == "" and err.startswith(f"tdgan-jax: {path}: ") and err.count("\n") == 1
        else:
            Path("rows.csv").unlink()
        assert os.listdir() == ["photos"]


def test_for_transfer_each_is_a_result_or_one_line(folder, capfd):
    for path in sorted(folder.iterdir())[::10]:
        faces = ["--face", str(path), "--expression", str(path)]
        code = main(["transfer", *faces, "--out", "o.png", "--detect", "none"])
        out, err = capfd.readouterr()
        assert code == (0 if Path("o.png").exists() else 1), path
        if code:
            assert err.startswith(f"tdgan-jax: {path}: ") and err.count("\n") == 1
        else:
            Path("o.png").unlink()
        assert out == ("" if code else "wrote o.png\n") and os.listdir() == ["photos"]
