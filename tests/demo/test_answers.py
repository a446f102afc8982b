"""What the page shows, without the page."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.demo.answers import (
    interpolation_answer,
    photograph_answer,
    transfer_answer,
    video_answer,
)
from tdgan_jax.demo.curves import MOST_TRACKS, draw_circumplex, draw_curves
from tdgan_jax.errors import UserError
from tdgan_jax.inference import faces as inference_faces
from tdgan_jax.inference.records import FaceRecord
from tests.inference.clips import two_faces, write_clip
from tests.inference.fake_model import FakeModel, gray

NAMES = FakeModel.expression_names


def knowing_affect():
    model = FakeModel()
    model.affect = lambda levels: np.stack([levels, -levels], axis=1)
    return model


@pytest.fixture
def uploaded(tmp_path):
    """A picture where uploads lie."""
    path = tmp_path / "uploads" / "0123" / "face.png"
    path.parent.mkdir(parents=True)
    gray(0).save(path)
    return str(path)


@pytest.fixture
def no_faces(monkeypatch):
    monkeypatch.setattr(
        inference_faces, "face_search", lambda *_: lambda images: [[] for _ in images]
    )


def test_a_photograph(uploaded, tmp_path):
    answer = photograph_answer(uploaded, knowing_affect(), "none", tmp_path)
    (row,) = answer.table.rows
    assert (row["file"], row["label"], row["valence"]) == ("face.png", "dark", 0.0)
    with answer.table.file.open() as file:
        (written,) = csv.DictReader(file)
    assert written == {name: "" if row[name] is None else str(row[name]) for name in row}
    assert answer.message == "" and answer.annotated.name == "face_seen.png"
    with Image.open(answer.annotated) as image:
        assert image.width > image.height == 256
    assert answer.circumplex is not None and answer.circumplex.stat().st_size


def test_a_photograph_without_a_face(uploaded, tmp_path, no_faces):
    answer = photograph_answer(uploaded, FakeModel(), "mtcnn", tmp_path)
    assert answer.message == "no face found"
    assert [row["status"] for row in answer.table.rows] == ["no_face"]
    assert answer.circumplex is None


def test_names_of_temporary_folders_are_in_no_message(uploaded, tmp_path, no_faces):
    arguments = [uploaded], [uploaded], FakeModel(), "mtcnn", tmp_path
    with pytest.raises(UserError, match=r"^face\.png: no face found; "):
        transfer_answer(*arguments)
    Path(uploaded).write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"^face\.png: not a readable image"):
        photograph_answer(uploaded, FakeModel(), "none", tmp_path)


def test_a_video(tmp_path):
    clip = write_clip(tmp_path / "talk.mp4", [two_faces(number) for number in range(4)])
    *_, answer = video_answer(str(clip), knowing_affect(), "none", tmp_path, every=2)
    assert [row["frame"] for row in answer.table.rows] == [0, 2]
    assert answer.curves is not None and answer.curves.stat().st_size
    assert answer.annotated.stat().st_size and answer.message == ""


def test_a_video_without_a_face_has_no_curves(tmp_path, no_faces):
    clip = write_clip(tmp_path / "talk.mp4", [two_faces(number) for number in range(2)])
    *_, answer = video_answer(str(clip), FakeModel(), "mtcnn", tmp_path, every=1)
    assert (answer.curves, answer.message) == (None, "no face found")


def test_a_damaged_video_leaves_no_file(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(UserError, match=r"^talk\.mp4: "):
        list(video_answer(str(path), FakeModel(), "none", tmp_path, every=1))
    assert not list(tmp_path.glob("answer_*/*"))


def test_pictures_and_videos_have_their_own_tabs(uploaded, tmp_path):
    with pytest.raises(UserError, match=r"^face\.png is no video; the names of videos end in "):
        list(video_answer(uploaded, FakeModel(), "none", tmp_path, every=1))
    with pytest.raises(UserError, match=r"^talk\.mp4 is a video; "):
        photograph_answer("uploads/talk.mp4", FakeModel(), "none", tmp_path)


def test_a_generator(uploaded, tmp_path):
    path = transfer_answer([uploaded], [uploaded] * 2, FakeModel(), "none", tmp_path)
    with Image.open(path) as image:
        assert image.size == (16 * 3 + 4, 16 * 2 + 4)
    animation, strip = interpolation_answer(
        [uploaded], [uploaded] * 2, FakeModel(), "none", tmp_path, num_frames=3
    )
    assert animation.read_bytes().startswith(b"GIF") and strip.stat().st_size
    with pytest.raises(UserError, match="give one face and two expressions, or two faces and one"):
        interpolation_answer([uploaded], [uploaded], FakeModel(), "none", tmp_path, num_frames=3)
    with pytest.raises(UserError, match="at least one picture of a face"):
        transfer_answer([uploaded], [], FakeModel(), "none", tmp_path)


def test_curves_are_those_of_the_longest_tracks():
    def moment(track, time_s, **more):
        probabilities = dict.fromkeys(NAMES, 0.25)
        return FaceRecord(track=track, time_s=time_s, probabilities=probabilities, **more)

    lengths = [2, 1, 3, 4]
    records = [moment(track, t) for track, n in enumerate(lengths) for t in range(n)]
    figure = draw_curves([*records, FaceRecord(status="no_face")], NAMES)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["face 0", "face 2", "face 3"]
    assert len(figure.axes) == MOST_TRACKS
    line = figure.axes[2].get_lines()[1]
    assert line.get_label() == "middle" and list(line.get_xdata()) == [0, 1, 2, 3]
    with_affect = draw_curves([moment(0, 0.0, valence=0.5, arousal=-0.5)], NAMES)
    assert [list(line.get_ydata()) for line in with_affect.axes[1].get_lines()[:2]] == [
        [0.5],
        [-0.5],
    ]
    assert draw_curves([FaceRecord(status="no_face")], NAMES) is None


def test_faces_stand_where_their_valence_and_arousal_are():
    faces = [
        FaceRecord(face=0, label="bright", valence=0.75, arousal=-0.5),
        FaceRecord(face=1, label="dark", valence=-3.0, arousal=0.25),
        FaceRecord(face=2, status="profile"),
    ]
    (axes,) = draw_circumplex(faces).axes
    points = [line.get_xydata()[0].tolist() for line in axes.get_lines()[2:]]
    assert points == [[0.75, -0.5], [-1.1, 0.25]]
    assert [text.get_text() for text in axes.texts] == ["0  bright", "1  dark"]
    assert draw_circumplex(faces[2:]) is None


def test_a_video_that_nobody_waits_for_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tdgan_jax.demo.answers.SECONDS_BETWEEN_COUNTS", 0.0)
    clip = write_clip(tmp_path / "clip.mp4", [two_faces(number) for number in range(70)])
    answers = video_answer(str(clip), FakeModel(), "none", tmp_path, every=1)
    counts = [next(answers) for _ in range(3)]
    assert counts == [1, 2, 3]
    answers.close()
    assert not list(tmp_path.rglob("*_seen*"))
