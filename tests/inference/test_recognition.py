from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from tdgan_jax.faces import detection
from tdgan_jax.faces.alignment import CropSettings, crop_face
from tdgan_jax.faces.detection import Face
from tdgan_jax.inference import recognition
from tdgan_jax.inference.faces import FaceCrop, face_finder, read_faces, whole_picture
from tdgan_jax.inference.inputs import InputFile, Picture
from tdgan_jax.inference.recognition import recognise
from tests.inference.fake_model import FakeModel, gray

FILE = InputFile(Path("p.png"), PurePath("p.png"))


def picture(level, size=(20, 20)):
    return Picture(FILE, None, None, gray(level, size).convert("RGB"))


def test_pictures_are_read_batch_by_batch():
    given = []

    def stream():
        for number in range(1000):
            given.append(number)
            yield picture(number % 256)

    results = recognise(stream(), FakeModel(), whole_picture, batch_size=4)
    next(results)
    assert len(given) == 5  # a batch and the picture that shows that it is full
    assert sum(1 for _ in results) == 999


def test_large_pictures_make_smaller_batches(monkeypatch):
    monkeypatch.setattr(recognition, "MAX_PIXELS_HELD", 1000)
    model = FakeModel()
    sizes = [(20, 20), (20, 20), (20, 20), (50, 50), (10, 10)]
    results = recognise((picture(0, size) for size in sizes), model, whole_picture, batch_size=100)
    assert [result.picture.image.size for result in results] == sizes
    assert model.batches == [2, 1, 1, 1]


def test_answers_stay_with_their_faces_over_batches():
    # Picture n shows n faces, whose brightness is that of the picture and then falls.
    def steps(image):
        level = image.getpixel((0, 0))[0]
        return [FaceCrop((i, 0, i + 1, 1), gray(level - 100 * i)) for i in range(level // 100)]

    model = FakeModel()
    levels = [0, 100, 255, 200, 0, 255]
    found = list(recognise(map(picture, levels), model, steps, batch_size=3))
    assert [[face.label for face in result.faces] for result in found] == [
        [],
        ["middle"],
        ["bright", "middle"],
        ["bright", "middle"],
        [],
        ["bright", "middle"],
    ]
    assert [face.box[0] for face in found[2].faces] == [0, 1]
    assert [result.status for result in found] == ["no_face", "ok", "ok", "ok", "no_face", "ok"]
    assert max(model.batches) == 3


class FakeDetector:
    """Finds a face to align, one in profile, and a smaller one."""

    smallest: list = []

    def __init__(self, *, min_face_size_px):
        self.smallest.append(min_face_size_px)

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
    for size in ((100, 100), (1000, 4000), (3000, 2000)):
        face_finder("mtcnn", None)(Image.new("RGB", size))
    assert FakeDetector.smallest == [20, 20, 40]


def test_of_several_faces_the_largest_is_taken(tmp_path):
    gray(9).save(tmp_path / "p.png")
    small, large = FaceCrop((0, 0, 5, 5), gray(1)), FaceCrop((5, 5, 20, 20), gray(2))
    assert read_faces([str(tmp_path / "p.png")], lambda _: [small, large]) == [large.image]
