import csv
import io

import numpy as np
import pytest
from PIL import Image

import tdgan_jax
from tdgan_jax.cli.main import main
from tdgan_jax.errors import UsageError
from tdgan_jax.families.recogniser import WholePhotograph
from tdgan_jax.inference.analysis import analyse
from tests.faces.scenes import SCENES
from tests.inference.fake_model import FakeModel, gray
from tests.tiny_tdgan import make_run


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """The current folder, with a dark, a damaged and a bright picture."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    gray(0).save("p/a.png")
    (tmp_path / "p" / "b.png").write_bytes(b"no picture")
    gray(255, (30, 10)).save("p/c.png")
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(make_run(tmp_path_factory.mktemp("run") / "run"))


def labels(photos, **options):
    return [record.label for record in analyse(FakeModel(), photos, detect="none", **options)]


def test_photographs_in_all_forms(pictures):
    bright = np.full((9, 12, 3), 255, np.uint8)
    every = [
        "p/a.png",
        pictures / "p" / "c.png",
        gray(255),
        Image.new("LA", (9, 9), (0, 255)),
        bright,
        bright[..., :1],
        bright[..., 0],
        np.dstack([bright // 255 * 0, bright[..., :1]]),
        bright / 255,
        np.full((9, 9), 0.5, np.float32),
    ]
    assert labels(every) == [
        "dark",
        *["bright"] * 2,
        "dark",
        *["bright"] * 3,
        "dark",
        "bright",
        "middle",
    ]
    assert labels(iter(every[:3])) == ["dark", "bright", "bright"]
    assert (
        labels("p/c.png") == labels(every[1]) == labels(gray(255)) == labels(bright) == ["bright"]
    )
    assert labels(np.stack([bright, bright * 0])) == ["bright", "dark"]
    assert labels([]) == []


def test_a_record_says_where_it_comes_from(pictures):
    records = analyse(
        FakeModel(), ["p", gray(0), np.zeros((9, 9), np.uint8), "none.jpg"], detect="none"
    )
    assert [(record.file, record.frame, record.status) for record in records] == [
        ("p/a.png", None, "ok"),
        ("p/b.png", None, "decode_error"),
        ("p/c.png", None, "ok"),
        (None, 1, "ok"),
        (None, 2, "ok"),
        ("none.jpg", None, "decode_error"),
    ]
    assert records[5].reason == "No such file or directory"
    assert records[2].box == (0, 0, 30, 10) and records[2].probabilities["bright"] > 0.9


def test_the_frames_of_opencv_are_blue_first():
    seen = []

    class Remembering(FakeModel):
        def recognise(self, images):
            seen.extend(np.asarray(image)[0, 0].tolist() for image in images)
            return super().recognise(images)

    blue_first = np.full((9, 9, 3), (1, 2, 3), np.uint8)
    with_alpha = np.dstack([blue_first, np.full((9, 9), 255, np.uint8)])
    analyse(Remembering(), [blue_first, with_alpha, blue_first[..., 0]], detect="none", color="bgr")
    analyse(Remembering(), [blue_first], detect="none")
    assert seen == [[3, 2, 1], [3, 2, 1], [1, 1, 1], [1, 2, 3]]


def test_a_damaged_image_in_memory_is_a_record(pictures):
    gray(3, (300, 300)).save("cut.png")
    content = (pictures / "cut.png").read_bytes()
    half = Image.open(io.BytesIO(content[: len(content) // 2]))
    lab = Image.new("LAB", (9, 9))
    damaged, good = analyse(FakeModel(), [half, gray(0)], detect="none")
    assert damaged.status == "decode_error" and damaged.reason and good.status == "ok"
    (record,) = analyse(FakeModel(), lab, detect="none")
    assert record.status == "decode_error" or record.label  # as Pillow can convert it, or not


@pytest.mark.parametrize(
    ("photos", "options", "message"),
    [
        (np.zeros((9, 9, 2), np.uint8), {}, r"shape \(9, 9, 2\) and type uint8 is no photograph"),
        (np.zeros((9, 9, 3), np.int64), {}, "type int64 is no photograph"),
        ([np.full((9, 9), 2.0)], {}, "must lie in"),
        ([np.full((9, 9), np.nan)], {}, "must lie in"),
        ([None], {}, "no photograph"),
        (7, {}, "int is no photograph"),
        ([], {"color": "hsv"}, "color is 'hsv'; known: rgb, bgr"),
        ([], {"detect": "haar"}, "detect is 'haar'; known: mtcnn, none"),
        ([], {"smallest_face": 3}, "the smallest face is 3"),
    ],
)
def test_what_is_no_photograph_is_said(photos, options, message):
    with pytest.raises(UsageError, match=message):
        analyse(FakeModel(), photos, **{"detect": "none"} | options)


def test_records_are_the_rows_of_predict(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("portrait", "group", "tile_pattern"):
        Image.fromarray(SCENES[name]()).save(f"{name}.png")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG")
    files = ["portrait.png", "group.png", "tile_pattern.png", "damaged.png"]
    assert main(["predict", *files, "--model", run, "--out", "rows.csv", "--quiet"]) == 0
    model = tdgan_jax.load(run)
    records = model.analyse(files)
    with open("rows.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [record.status for record in records] == [*["ok"] * 7, "no_face", "decode_error"]
    assert len(written) == len(records)
    for row, record in zip(written, records.rows(), strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in record.items()}

    pandas = pytest.importorskip("pandas")
    table, read = records.to_pandas(), pandas.read_csv("rows.csv")
    assert list(table.columns) == list(read.columns)
    for name in table.columns:
        assert table[name].isna().equals(read[name].isna()), name
        assert (table[name].dropna() == read[name].dropna()).all(), name
    # OpenCV's order of channels gives the same faces.
    frame = np.asarray(Image.open("group.png"))[..., ::-1]
    found = model.analyse([frame], color="bgr")
    assert [record.box for record in found] == [record.box for record in records[1:7]]


def test_a_whole_photograph_in_the_place_of_a_face_is_warned_of_once(run, recwarn):
    model = tdgan_jax.load(run)
    photograph = np.zeros((480, 640, 3), np.uint8)
    model.recognise(photograph)
    model.analyse([photograph], detect="none")
    assert not recwarn.list
    with pytest.warns(
        WholePhotograph, match=r"640x480 pixels .* model.analyse\(photographs\)"
    ) as all_of:
        model.predict(photograph)
        model.predict(photograph)
        model.transfer(photograph, photograph)
    assert len(all_of) == 1 and all_of[0].filename == __file__
    with pytest.warns(WholePhotograph):
        tdgan_jax.load(run).expression_features(photograph)
