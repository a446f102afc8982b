import threading
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.errors import UsageError
from tdgan_jax.faces import detection
from tdgan_jax.faces.alignment import CropSettings, crop_face
from tdgan_jax.faces.detection import Face
from tdgan_jax.inference import recognition
from tdgan_jax.inference.faces import (
    FaceCrop,
    SmallestFace,
    face_finder,
    face_search,
    read_faces,
    smallest_face,
    whole_picture,
)
from tdgan_jax.inference.inputs import InputFile, Picture
from tests.faces.scenes import SCENES
from tests.inference.fake_model import FakeModel, gray

FILE = InputFile(Path("p.png"), PurePath("p.png"))


def picture(level, size=(20, 20)):
    return Picture(FILE, None, None, gray(level, size).convert("RGB"))


def whole_pictures(images):
    return [whole_picture(image) for image in images]


def recognise(pictures, model, search=whole_pictures, *, batch_size):
    return recognition.recognise(lambda _: pictures, model, search, batch_size=batch_size)


def test_pictures_are_read_a_little_ahead():
    given = []

    def stream():
        for number in range(1000):
            given.append(number)
            yield picture(number % 256)

    results = recognise(stream(), FakeModel(), batch_size=4)
    next(results)
    groups = 2 + min(recognition._SEARCH_THREADS, recognition.usable_cores())
    assert len(given) <= groups * recognition.MAX_PICTURES_SEARCHED + 1
    assert sum(1 for _ in results) == 999


def test_stopping_early_stops_the_threads():
    results = recognise((picture(0) for _ in range(1000)), FakeModel(), batch_size=4)
    next(results)
    results.close()
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("reading", "finding"))]


def test_large_pictures_make_smaller_batches(monkeypatch):
    monkeypatch.setattr(recognition, "MAX_PIXELS_HELD", 1000)
    model = FakeModel()
    sizes = [(20, 20), (20, 20), (20, 20), (50, 50), (10, 10)]
    results = recognise((picture(0, size) for size in sizes), model, batch_size=100)
    assert [result.picture.image.size for result in results] == sizes
    assert model.batches == [2, 1, 1, 1]


def test_pictures_are_searched_together_as_far_as_they_are_small(monkeypatch):
    monkeypatch.setattr(recognition, "MAX_PIXELS_SEARCHED", 1000)
    searched = []

    def search(images):
        searched.append([image.size for image in images])
        return whole_pictures(images)

    sizes = [(20, 20), (20, 20), (50, 50), (10, 10)]
    assert len(list(recognise((picture(0, x) for x in sizes), FakeModel(), search, batch_size=9)))
    assert sorted(searched) == [[(10, 10)], [(20, 20), (20, 20)], [(50, 50)]]


def test_answers_stay_with_their_faces_over_batches():
    # Picture n shows n faces, whose brightness is that of the picture and then falls.
    def steps(image):
        level = image.getpixel((0, 0))[0]
        return [FaceCrop((i, 0, i + 1, 1), gray(level - 100 * i)) for i in range(level // 100)]

    model = FakeModel()
    levels = [0, 100, 255, 200, 0, 255]
    search = lambda images: [steps(image) for image in images]  # noqa: E731
    found = list(recognise(map(picture, levels), model, search, batch_size=3))
    assert [[face.label for face in result.records] for result in found] == [
        [None],
        ["middle"],
        ["bright", "middle"],
        ["bright", "middle"],
        [None],
        ["bright", "middle"],
    ]
    assert [face.box[0] for face in found[2].records] == [0, 1]
    assert [face.face for face in found[2].records] == [0, 1]
    assert [result.status for result in found] == ["no_face", "ok", "ok", "ok", "no_face", "ok"]
    assert max(model.batches) == 3


def test_faces_without_a_crop_have_a_status_and_no_answer():
    points = np.arange(10, dtype=np.float32).reshape(5, 2) + 0.04
    cut = FaceCrop((0, 0, 5, 5), None, 0.9000001, points, "cut_off")
    model = FakeModel()
    model.affect = lambda levels: np.stack([levels, -levels], axis=1)
    search = lambda images: [[cut, FaceCrop((5, 5, 20, 20), gray(255))], [cut]]  # noqa: E731
    both, alone = recognise([picture(0), picture(0)], model, search, batch_size=9)
    assert (both.status, alone.status) == ("ok", "cut_off")
    first, second = both.records
    assert first == alone.records[0]
    assert (first.status, first.label, first.probabilities) == ("cut_off", None, None)
    assert (first.score, first.landmarks[4]) == (0.9, (8.0, 9.0))
    assert (second.status, second.label, second.landmarks) == ("ok", "bright", None)
    assert (second.valence, second.arousal) == (1.0, -1.0) and first.valence is None


class FakeDetector:
    """Finds a face to align, one in profile, and a smaller one."""

    smallest: list = []

    def __init__(self, *, min_face_size_px):
        self.smallest.append(min_face_size_px)

    def detect_all(self, images):
        return [self.detect(image) for image in images]

    def detect(self, image):
        assert image.dtype == np.uint8 and image.ndim == 3
        if image.max() == 0:
            return []
        points = np.array([[20, 30], [40, 30], [30, 40], [24, 50], [36, 50]], np.float32)
        profile = points * [0, 1] + [30, 0]
        return [
            Face((10.0, 10.0, 50.0, 60.0), 0.99, points),
            Face((10.0, 10.0, 50.0, 60.0), 0.99, profile),
            Face((60.0, 60.0, 80.0, 85.0), 0.9, points / 2 + 55),
        ]


def test_detected_faces_are_aligned_and_profiles_left_out(monkeypatch):
    monkeypatch.setattr(detection, "Detector", FakeDetector)
    image = Image.new("RGB", (100, 100))
    image.paste((255, 0, 0), (19, 29, 22, 32))  # the left eye
    found = face_finder("mtcnn", None)(image)
    everything = face_search("mtcnn", None)([image])[0]
    assert [face.status for face in everything] == ["ok", "profile", "ok"]
    assert [face.image is None for face in everything] == [False, True, False]
    assert [face.box for face in found] == [(10.0, 10.0, 50.0, 60.0), (60.0, 60.0, 80.0, 85.0)]
    faces = FakeDetector(min_face_size_px=20).detect(np.asarray(image))
    for face, expected in zip(found, (faces[0], faces[2]), strict=True):
        assert face.image.tobytes() == crop_face(image, expected, CropSettings()).tobytes()
    assert face_finder("mtcnn", None)(Image.new("RGB", (100, 100))) == []
    own = CropSettings(style="box", margin=0.5, size_px=64, rotate_by_eyes=False)
    like_the_training = face_finder("mtcnn", own.as_json())(image)[0].image
    assert like_the_training.tobytes() == crop_face(image, faces[0], own).tobytes()


def test_the_smallest_face_grows_with_the_picture(monkeypatch):
    monkeypatch.setattr(detection, "Detector", FakeDetector)
    monkeypatch.setattr(FakeDetector, "smallest", [])
    red = [Image.new("RGB", size, "red") for size in ((100, 100), (1000, 4000), (3000, 2000))]
    face_search("mtcnn", None)(red)
    face_search("mtcnn", None, smallest_face(0.02))(red)
    face_search("mtcnn", None, smallest_face(33))(red)
    assert FakeDetector.smallest == [24, 50, 100, 20, 40, 33]
    assert smallest_face(None) == SmallestFace()
    for size in (0, -1, 1, 11.9, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="give pixels, 12 or more, or a share"):
            smallest_face(size)
    with pytest.raises(UsageError, match="detect is 'haar'; known: mtcnn, none"):
        face_search("haar", None)


def test_a_face_that_the_edge_cuts_through_has_a_status_of_its_own():
    portrait = Image.fromarray(SCENES["portrait"]()).convert("RGB")
    (whole,) = face_search("mtcnn", None)([portrait])[0]
    left, _, right, _ = whole.box
    assert whole.status == "ok"
    # Without the right third of the face, and without its right half.
    for share in (0.3, 0.5):
        cut = portrait.crop((0, 0, round(right - share * (right - left)), portrait.height))
        (face,) = face_search("mtcnn", None)([cut])[0]
        assert (face.status, face.image) == ("cut_off", None)
        assert 0 <= face.box[0] < face.box[2] <= cut.width - 1
        assert face.landmarks[1, 0] > cut.width - 0.5  # the right eye
        assert face_finder("mtcnn", None)(cut) == []


def test_of_several_faces_the_largest_is_taken(tmp_path):
    gray(9).save(tmp_path / "p.png")
    small, large = FaceCrop((0, 0, 5, 5), gray(1)), FaceCrop((5, 5, 20, 20), gray(2))
    assert read_faces([str(tmp_path / "p.png")], lambda _: [small, large]) == [large.image]
