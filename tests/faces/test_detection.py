import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.faces import detection, shrinking
from tdgan_jax.faces.detection import Detector
from tests.faces.scenes import SCENES

GOLDEN = json.loads(Path(__file__).with_name("golden_mtcnn.json").read_text())["scenes"]
YALE = Path(__file__).parents[3] / "shared" / "data" / "yalefaces.zip"


@pytest.fixture(scope="module")
def detector():
    return Detector()


@pytest.mark.parametrize("name", SCENES)
def test_finds_what_package_mtcnn_finds(detector, name):
    scene, golden = SCENES[name](), GOLDEN[name]
    assert list(scene.shape) == golden["shape"]
    # Measured: 0.0013 pixels and 6e-7. A processor that draws a few pixels one gray lighter or
    # darker moves the boxes a little.
    is_same_scene = hashlib.sha256(scene.tobytes()).hexdigest() == golden["sha256"]
    pixels, score = (0.02, 1e-4) if is_same_scene else (2.0, 0.03)

    faces = detector.detect(scene)

    assert len(faces) == len(golden["faces"])
    for face in faces:
        twin = min(golden["faces"], key=lambda twin: abs(np.subtract(twin["box"], face.box)).max())
        np.testing.assert_allclose(face.box, twin["box"], rtol=0, atol=pixels)
        np.testing.assert_allclose(face.landmarks, twin["landmarks"], rtol=0, atol=pixels)
        assert face.score == pytest.approx(twin["score"], abs=score)
        assert face.landmarks.dtype == np.float32


def test_the_largest_face_comes_first(detector):
    areas = [face.area_px for face in detector.detect(SCENES["group"]())]
    assert len(areas) == 6
    assert areas == sorted(areas, reverse=True)


def test_several_photographs_are_searched_as_each_alone(detector, monkeypatch):
    scenes = [SCENES[name]() for name in ("tile_pattern", "portrait", "group", "speck", "portrait")]
    alone = [detector.detect(scene) for scene in scenes]
    for size in (1, 3):  # of P-Net's batches: that of CPUs, and one that is not filled
        monkeypatch.setattr(detection, "p_net_batch_size", lambda size=size: size)
        together = detector.detect_all(scenes)
        assert [len(faces) for faces in together] == [0, 1, 6, 0, 1]
        for faces, expected in zip(together, alone, strict=True):
            for face, twin in zip(faces, expected, strict=True):
                np.testing.assert_allclose(face.box, twin.box, atol=0.02)
                np.testing.assert_allclose(face.landmarks, twin.landmarks, atol=0.02)
    assert detector.detect_all([]) == []


def test_a_photograph_is_shrunk_as_long_as_its_smallest_face_is_large(detector):
    scene = SCENES["large"]()
    twice = np.asarray(Image.fromarray(scene).resize((2600, 1800), Image.Resampling.NEAREST))
    searched = shrinking.shrink(twice, 100)
    assert (searched.factor, searched.min_face_size_px) == (2, 50)
    np.testing.assert_array_equal(searched.pixels[..., 0], scene)
    expected = Detector(min_face_size_px=50).detect(scene)
    faces = Detector(min_face_size_px=100).detect(twice)
    assert len(faces) == len(expected) > 0
    for face, twin in zip(faces, expected, strict=True):
        np.testing.assert_allclose(face.landmarks, twin.landmarks * 2 + 0.5, atol=0.1)


def test_gray_is_colour_with_equal_channels(detector):
    scene = SCENES["portrait"]()
    (gray,) = detector.detect(scene)
    (colour,) = detector.detect(np.repeat(scene[..., None], 3, axis=2))
    assert gray.box == colour.box
    np.testing.assert_array_equal(gray.landmarks, colour.landmarks)


def test_landmarks_lie_on_the_drawn_parts(detector):
    (face,) = detector.detect(SCENES["portrait"]())
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    # The drawn head leans clockwise.
    assert right_eye[1] > left_eye[1]


def num_programs():
    programs = (detection._run_p_net, detection._run_r_net, detection._run_o_net)
    return sum(program._cache_size() for program in programs)


def test_photographs_of_all_sizes_share_programs(detector):
    portrait = Image.fromarray(SCENES["portrait"]())
    detector.detect(np.asarray(portrait))
    before = num_programs()
    for size in ((200, 230), (190, 245), (207, 207), (180, 251), (222, 228)):
        assert len(detector.detect(np.asarray(portrait.resize(size)))) == 1
    assert num_programs() <= before + 1  # at most one other canvas


def test_a_larger_smallest_face_leaves_small_ones_out(detector):
    scene = SCENES["group"]()
    large = Detector(min_face_size_px=100).detect(scene)
    assert 1 <= len(large) < 6
    # Two faces are about as large as each other: which of them comes first is open.
    largest = detector.detect(scene)[:2]
    assert any(large[0].box == pytest.approx(face.box, abs=15) for face in largest)


def test_a_huge_photograph_is_shrunk(detector, monkeypatch):
    scene = SCENES["group"]()
    faces = detector.detect(scene)
    monkeypatch.setattr(shrinking, "MAX_PIXELS", scene.shape[0] * scene.shape[1] // 4)
    shrunk = detector.detect(scene)
    assert 1 <= len(shrunk) <= len(faces)
    np.testing.assert_allclose(shrunk[0].landmarks, faces[0].landmarks, atol=4)


@pytest.mark.parametrize(
    "image",
    [np.zeros((9, 9), np.float32), np.zeros((9, 9, 4), np.uint8), np.zeros((0, 9), np.uint8)],
)
def test_other_arrays_are_refused(detector, image):
    with pytest.raises(ValueError, match="expected uint8"):
        detector.detect(image)


@pytest.mark.parametrize("shape", [(1, 1), (12, 3000), (19, 19, 3), (20, 20)])
def test_small_pictures_show_nobody(detector, shape):
    assert detector.detect(np.full(shape, 128, np.uint8)) == []


def test_faces_below_the_window_are_refused():
    with pytest.raises(ValueError, match="smallest is 12"):
        Detector(min_face_size_px=11)


@pytest.mark.skipif(not YALE.exists(), reason=f"{YALE} is not there")
def test_one_face_in_yale_photographs(detector):
    """In each of a tenth of them; `benchmarks/face_detection.py` goes through all."""
    with zipfile.ZipFile(YALE) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))[::10]
        assert len(names) == 17
        for name in names:
            with archive.open(name) as file, Image.open(file) as image:
                assert len(detector.detect(np.asarray(image.convert("L")))) == 1, name
