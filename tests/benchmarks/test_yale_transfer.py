"""Transfer on the Yale photographs, with drawn people in their place."""

import io
import json
import zipfile

import numpy as np
from PIL import Image

from benchmarks import yale_transfer
from tests.faces.scenes import drawn_face

CONDITIONS = {"normal": "neutral", "happy": "happiness", "sad": "sadness", "surprised": "surprise"}


def test_copying_the_face_keeps_the_person_and_the_neutral_face(tmp_path, capsys):
    archive = tmp_path / "yalefaces.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(3):
            for condition, expression in CONDITIONS.items():
                picture = Image.new("L", (200, 200), 128)
                picture.paste(drawn_face(number, expression, 120).convert("L"), (40, 40))
                stream = io.BytesIO()
                picture.save(stream, "gif")
                file.writestr(f"yalefaces/subject0{number}.{condition}", stream.getvalue())
    assert yale_transfer.main(["--yale", str(archive)]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["people"] == 3
    for expression in yale_transfer.EXPRESSIONS:
        copied, generated = figures["copy_face"][expression], figures["generator"][expression]
        assert copied["pairs"] == generated["pairs"] == 9
        assert copied["person_right"] == 1
        assert copied["both_right"] == copied["expression_right"]
        assert generated["both_right"] <= generated["expression_right"]


def test_the_nearest_face_is_found():
    generator = np.random.default_rng(0)
    faces = [Image.fromarray(generator.integers(0, 256, (64, 64), np.uint8)) for _ in range(4)]
    darker = [face.point(lambda value: value * 0.9) for face in faces]
    assert yale_transfer._nearest(darker[::-1], faces).tolist() == [3, 2, 1, 0]


def test_no_archive_is_one_line(tmp_path, capsys):
    (tmp_path / "x.zip").write_text("no zip")
    assert yale_transfer.main(["--yale", str(tmp_path / "x.zip")]) == 1
    assert "is no zip file" in capsys.readouterr().err
