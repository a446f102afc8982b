import importlib.metadata
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from tdgan_jax.cli.main import main
from tdgan_jax.inference import faces as inference_faces
from tests.inference.fake_model import gray


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch, model):
    """The current folder, with pictures named after their level of gray, and a damaged one."""
    monkeypatch.chdir(tmp_path)
    for level in (0, 40, 100, 200):
        gray(level).save(f"{level}.png")
    Path("bad.png").write_bytes(b"")


def transfer(faces, expressions, *more):
    command = ["transfer", "--detect", "none", "--out", "o.png"]
    return main([*command, "--face", *faces, "--expression", *expressions, *more])


def interpolate(faces, expressions, *more):
    command = ["interpolate", "--detect", "none", "--out", "o.gif"]
    return main([*command, "--face", *faces, "--expression", *expressions, *more])


def levels(image, *places):
    """Levels of gray in the middle of tiles of 16 pixels, whose corners are given."""
    pixels = np.asarray(image)
    return [int(pixels[top + 8, left + 8]) for left, top in places]


def test_one_face_and_one_expression_give_the_generated_picture():
    assert transfer(["100.png"], ["200.png"]) == 0
    with Image.open("o.png") as image:
        assert (image.size, image.mode) == ((16, 16), "L")
        assert levels(image, (0, 0)) == [150]


def test_several_give_a_grid_with_the_inputs_along_its_edges(model):
    assert transfer(["0.png", "100.png"], ["0.png", "40.png", "200.png"]) == 0
    with Image.open("o.png") as image:
        assert image.size == (4 + 4 * 16, 4 + 3 * 16)
        columns = [20, 36, 52]
        assert levels(image, (0, 0), *((x, 0) for x in columns)) == [255, 0, 40, 200]
        assert levels(image, (0, 20), *((x, 20) for x in columns)) == [0, 0, 20, 100]
        assert levels(image, (0, 36), *((x, 36) for x in columns)) == [100, 50, 70, 150]
    # The same noise everywhere: only the face and the expression differ.
    assert len({tuple(jax.random.key_data(key).tolist()) for key in model.keys}) == 1


def test_the_seed_chooses_the_noise(model):
    for seed in ("1", "2", "1"):
        assert transfer(["0.png"], ["40.png"], "--seed", seed, "--overwrite") == 0
    first, second, third = (jax.random.key_data(key).tolist() for key in model.keys)
    assert first == third != second


def test_faces_that_cannot_be_cut_as_in_the_training_are_remarked_on(model, monkeypatch, capfd):
    def find_all(detect, crop):
        return inference_faces.whole_picture

    monkeypatch.setattr(inference_faces, "face_finder", find_all)
    given = ["transfer", "--face", "0.png", "--expression", "40.png", "--overwrite"]
    remark = "tdgan-jax: the model was trained on faces as their owner cut them; detected faces"
    for crop, options, is_said in (
        (None, [], True),
        (None, ["--quiet"], False),
        (None, ["--detect", "none"], False),
        ({"style": "eyes"}, [], False),
    ):
        monkeypatch.setattr(model, "face_crop", crop)
        assert main([*given, "--out", "o.png", *options]) == 0
        err = capfd.readouterr().err
        assert err.startswith(remark) and err.count("\n") == 1 if is_said else err == ""


def test_a_colour_model_gives_colours(model, monkeypatch):
    monkeypatch.setattr(model, "image_channels", 3)
    monkeypatch.setattr(
        model, "transfer", lambda faces, expressions, key: np.full((1, 16, 16, 3), [1, 0.5, 0])
    )
    assert transfer(["0.png"], ["40.png", "100.png"]) == 0
    with Image.open("o.png") as image:
        assert image.mode == "RGB" and image.getpixel((30, 30)) == (255, 128, 0)
        assert image.getpixel((25, 5)) == (40, 40, 40)


def test_the_animation_moves_between_two_expressions(capfd):
    assert interpolate(["0.png"], ["0.png", "200.png"], "--frames", "5", "--strip", "s.png") == 0
    assert capfd.readouterr().out == "wrote o.gif and s.png\n"
    with Image.open("o.gif") as animation:
        assert animation.n_frames == 5 and animation.info["loop"] == 0
        shown = []
        for number in range(5):
            animation.seek(number)
            shown.append(int(np.asarray(animation.convert("L"))[8, 8]))
    assert shown == [0, 25, 50, 75, 100]
    with Image.open("s.png") as strip:
        places = [(left, 0) for left in (0, 20, 40, 56, 72, 88, 104, 124)]
        assert strip.size == (140, 16)
        assert levels(strip, *places) == [0, 0, 0, 25, 50, 75, 100, 200]


def test_the_animation_moves_between_two_faces_and_the_strip_shows_a_part():
    assert interpolate(["0.png", "200.png"], ["100.png"], "--frames", "33", "--strip", "s.png") == 0
    with Image.open("s.png") as strip:
        assert strip.size == (3 * 16 + 3 * 4 + 9 * 16, 16)
        assert levels(strip, (0, 0), (20, 0), (40, 0), (168, 0), (188, 0)) == [100, 0, 50, 150, 200]


@pytest.mark.parametrize(
    ("command", "arguments", "code", "message"),
    [
        (transfer, (["bad.png"], ["0.png"]), 1, "bad.png: the file is empty"),
        (transfer, (["0.png"], ["no.png"]), 1, "no.png: No such file or directory"),
        (transfer, (["0.png"], ["0.png"], "--out", "o.jpg"), 2, "the name must end in .png"),
        (transfer, (["0.png"], ["0.png"], "--out", "40.png"), 1, "add --overwrite to replace it"),
        (transfer, (["0.png"], ["0.png"], "--seed", "x"), 2, "invalid int value: 'x'"),
        (interpolate, (["0.png"], ["0.png"]), 2, "give one --face and two --expression"),
        (interpolate, (["0.png"] * 2, ["0.png"] * 2), 2, "give one --face and two --expression"),
        (interpolate, (["0.png"], ["0.png"] * 2, "--frames", "1"), 2, "has at least 2 frames"),
        (interpolate, (["0.png"], ["0.png"] * 2, "--out", "o.png"), 2, "must end in .gif"),
        (interpolate, (["0.png"], ["0.png"] * 2, "--strip", "0.png"), 1, "--overwrite to replace"),
        (transfer, (["0.png"], ["40.png"], "--out", "40.png", "--overwrite"), 1, "name another"),
        (
            interpolate,
            (["0.png"], ["40.png"] * 2, "--strip", "./0.png", "--overwrite"),
            1,
            "read as",
        ),
        (interpolate, (["0.png", "bad.png"], ["0.png"]), 1, "bad.png: the file is empty"),
    ],
)
def test_what_cannot_be_done_says_why(command, arguments, code, message, capfd):
    before = sorted(os.listdir())
    assert command(*arguments) == code
    out, err = capfd.readouterr()
    assert out == "" and message in err and "Traceback" not in err
    assert sorted(os.listdir()) == before


def test_the_version_is_that_of_the_installed_package(capfd):
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"tdgan-jax {importlib.metadata.version('tdgan-jax')}\n"


@pytest.mark.parametrize("command", ["predict", "transfer", "interpolate"])
def test_help_has_an_example(command, capfd):
    assert main([command, "--help"]) == 0
    assert f"  tdgan-jax {command} " in capfd.readouterr().out
