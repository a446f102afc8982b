import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from tdgan_jax.cli.main import main
from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.crops import crop_settings
from tdgan_jax.data.image_files import FaceImage, NoFaceImage
from tdgan_jax.errors import UserError
from tdgan_jax.faces.alignment import CropSettings
from tdgan_jax.faces.preparation import Cropping, NoFace, cut_out_face
from tdgan_jax.preparation.image_workers import Reading, read_images
from tests.faces.scenes import drawn_face, stripes, with_faces

SETTINGS = CropSettings(size_px=64)


def one_face():
    return Image.fromarray(with_faces(stripes(180, 170), (12, "happiness", 130, 0.1, 20, 30)))


def two_faces():
    faces = ((12, "happiness", 90, 0.1, 10, 60), (30, "neutral", 130, 0.0, 120, 30))
    return Image.fromarray(with_faces(stripes(180, 260), *faces))


def faint_face():
    gray = np.full((280, 320), 128, np.uint8)
    return Image.fromarray(with_faces(gray, (16, "surprise", 200, 0.0, 60, 40)))


def nobody():
    return Image.fromarray(stripes(120, 200))


@pytest.mark.parametrize(
    ("photograph", "policy", "num_faces", "taken"),
    [
        (one_face, "fail", 1, "face"),
        (two_faces, "fail", 2, "largest face"),
        (nobody, "whole-image", 0, "whole image"),
        (faint_face, "largest", 0, "faint face"),
    ],
)
def test_a_photograph_becomes_a_face(photograph, policy, num_faces, taken):
    face = cut_out_face(photograph(), Cropping(SETTINGS, policy))
    assert (face.num_faces, face.taken) == (num_faces, taken)
    assert (face.image.size, face.image.mode) == ((64, 64), "L")


def test_the_largest_face_is_the_one_that_stands_alone_as_well():
    largest = cut_out_face(two_faces(), Cropping(SETTINGS)).image
    scene = Image.fromarray(stripes(180, 260))
    scene.paste(drawn_face(30, "neutral", 130), (120, 30))
    alone = cut_out_face(scene, Cropping(SETTINGS)).image
    assert np.abs(np.asarray(largest, int) - np.asarray(alone, int)).mean() < 2


def test_the_whole_image_keeps_its_shape_in_a_square():
    settings = SETTINGS._replace(size_px=100)
    face = np.asarray(cut_out_face(nobody(), Cropping(settings, "whole-image")).image, int)
    whole = np.asarray(nobody().resize((100, 60), Image.Resampling.BOX), int)
    np.testing.assert_allclose(face[20:80], whole, atol=2)
    np.testing.assert_allclose(face[:19], np.broadcast_to(face[10], face[:19].shape), atol=3)


@pytest.mark.parametrize(
    ("photograph", "policy"),
    [(nobody, "fail"), (nobody, "skip"), (nobody, "largest"), (faint_face, "skip")],
)
def test_without_a_face_there_is_no_image(photograph, policy):
    with pytest.raises(NoFace, match="no face found"):
        cut_out_face(photograph(), Cropping(SETTINGS, policy))


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_worker_processes_cut_out_the_same_faces():
    files = [("one", png(one_face())), ("nobody", png(nobody())), ("bad", b"GIF89a")]
    reading = Reading(channels=1, cropping=Cropping(SETTINGS))
    results = [
        dict(read_images(iter(files), reading, num_images=3, num_workers=number))
        for number in (0, 2)
    ]
    for result in results:
        assert isinstance(result["one"], FaceImage)
        assert isinstance(result["nobody"], NoFaceImage)
        assert not isinstance(result["bad"], NoFaceImage)
        assert result["one"].stored.size_px == (64, 64)
    pixels = [
        np.asarray(Image.open(io.BytesIO(result["one"].stored.encoded)), int) for result in results
    ]
    # Other threads may add up in another order.
    np.testing.assert_allclose(*pixels, atol=1)


@pytest.fixture
def photographs(tmp_path):
    """A folder with three photographs of two expressions, one of which shows nobody."""
    for name, image in (
        ("happy/one", one_face()),
        ("sad/two", two_faces()),
        ("sad/nobody", nobody()),
    ):
        path = tmp_path / "source" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return tmp_path / "source"


def prepare(photographs, *options):
    data = photographs.parent / "data"
    return main(
        ["prepare", "image_folder", f"--source={photographs}", f"--data-dir={data}", *options]
    )


def test_a_dataset_of_faces_is_prepared(photographs, capfd):
    assert prepare(photographs, "--detect=mtcnn", "--no-face=skip", "--crop-size=64") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "photographs without face: 1" in out.splitlines()
    assert "photographs with several faces: 1" in out.splitlines()
    (folder,) = (photographs.parent / "data" / "image_folder").glob("**/metadata.json")
    notes = json.loads(folder.read_text())
    builder = open_dataset("image_folder", data_dir=photographs.parent / "data")
    assert crop_settings(builder) == CropSettings(size_px=64)
    assert {example["image"].shape for example in builder.as_data_source("train")} == {(64, 64, 3)}
    assert (notes["detector"], notes["no_face_policy"]) == ("mtcnn", "skip")
    with open(folder.with_name("faces.csv"), newline="") as file:
        assert sorted(csv.DictReader(file), key=lambda row: row["file"]) == [
            {"file": "sad/nobody.png", "faces": "0", "taken": "none, left out"},
            {"file": "sad/two.png", "faces": "2", "taken": "largest face"},
        ]


def test_a_photograph_without_a_face_stops_the_build(photographs, capfd):
    assert prepare(photographs, "--detect=mtcnn") == 1
    _, err = capfd.readouterr()
    assert len(err.splitlines()) == 1
    assert "sad/nobody.png: no face found" in err and "--no-face skip" in err
    assert not list((photographs.parent / "data").glob("**/metadata.json"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no-face=skip"], "--no-face is for faces that are looked for"),
        (["--detect=none", "--crop-size=64"], "--crop-size is for faces"),
        (["--detect=mtcnn", "--no-face=guess"], "invalid choice"),
    ],
)
def test_wrong_use_is_named(photographs, capfd, options, message):
    assert prepare(photographs, *options) == 2
    assert message in capfd.readouterr().err


def test_drawn_datasets_take_no_detector(tmp_path, capfd):
    options = ["--detect=mtcnn", f"--data-dir={tmp_path}"]
    assert main(["prepare", "synthetic_faces", *options]) == 2
    assert "its faces need not be found" in capfd.readouterr().err


def test_impossible_crops_are_refused_before_the_build(photographs, capfd):
    assert prepare(photographs, "--detect=mtcnn", "--crop-size=1") == 1
    assert "8 to 4096 is possible" in capfd.readouterr().err


def test_settings_of_another_version_cut_nothing():
    with pytest.raises(UserError, match="use the release"):
        cut_out_face(one_face(), Cropping(SETTINGS._replace(version=0)))
