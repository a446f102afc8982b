import json

import numpy as np
from PIL import Image

from benchmarks.face_detection import main
from tests.faces.scenes import stripes


def test_times_drawn_photographs(capsys):
    assert main(["--images=2"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["images"] == 2
    assert result["images_by_number_of_faces"] == {"1": 2} and not result["not_one_face"]
    assert result["images_per_second"] > 0 and result["images_per_cpu_second"] > 0
    assert result["programs"] >= 3
    assert result["min_face_size_px"] == 20
    assert "package_mtcnn" not in result


def test_names_photographs_without_one_face(tmp_path, capsys):
    Image.fromarray(stripes(60, 70)).save(tmp_path / "stripes.png")
    Image.fromarray(np.zeros((60, 70, 3), np.uint8)).save(tmp_path / "black.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert main([f"--source={tmp_path}", "--min-face-size=40"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["not_one_face"] == {"black.png": 0, "stripes.png": 0}
    assert err.startswith("notes.txt: ")


def test_a_missing_source_is_one_line(tmp_path, capsys):
    assert main([f"--source={tmp_path / 'none'}"]) == 1
    assert capsys.readouterr().err.startswith("face_detection.py: the source")
