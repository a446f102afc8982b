import csv
import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tdgan_jax.data.builders import builder_class
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.fer2013_photographs import SIZE_PX
from tdgan_jax.preparation.preparing import prepare_dataset

Builder = builder_class("fer2013")

REAL_DATA = Path(__file__).parents[3] / "shared" / "data" / "fer2013_raw.zip"

SPELLINGS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def draw(seed: int, size: tuple[int, int] = SIZE_PX) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG")
    return buffer.getvalue()


@pytest.fixture
def folders(tmp_path):
    """Writes files of the image-folder layout; returns the folder."""

    def write(files: dict[str, bytes]):
        for name, data in files.items():
            path = tmp_path / "archive" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path / "archive"

    return write


@pytest.fixture
def owners_files() -> dict[str, bytes]:
    """Two training images and one of each test part per class."""
    files = {}
    for code, spelling in enumerate(SPELLINGS):
        files[f"train/{spelling}/Training_{code}1.jpg"] = jpeg(draw(code))
        files[f"train/{spelling}/Training_{code}2.jpg"] = jpeg(draw(code + 10))
        files[f"test/{spelling}/PublicTest_{code}3.jpg"] = jpeg(draw(code + 20))
        files[f"test/{spelling}/PrivateTest_{code}4.jpg"] = jpeg(draw(code + 30))
    return files


def prepare(source, tmp_path, **options):
    return prepare_dataset(
        "fer2013", source, data_dir=tmp_path / "data", **{"partial": True, **options}
    )


def table(rows: list[tuple[object, object, str]], header="emotion,pixels,Usage") -> bytes:
    return "\n".join(
        [header, *(f'{emotion},"{pixels}",{usage}' for emotion, pixels, usage in rows)]
    ).encode()


def pixel_text(pixels: np.ndarray) -> str:
    return " ".join(str(value) for value in pixels.ravel())


def read(builder, split):
    return {e["file"].decode(): e for e in builder.as_data_source(split)}


def names(builder, split):
    feature = builder.info.features["expression"]
    return {file: feature.int2str(int(e["expression"])) for file, e in read(builder, split).items()}


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_documented_counts_add_up():
    totals: dict[str, Counter[str]] = {}
    all_images: Counter[str] = Counter()
    for config, counts in Builder.DOCUMENTED.items():
        totals[config] = Counter()
        for name, count in counts.items():
            split, expression = name.split("/")
            totals[config][split] += count
            all_images[expression] += count * (config == "full")
    full = {"train": 28709, "public_test": 3589, "private_test": 3589}
    without = {"train": 28709, "test": 3589}
    assert totals == {"full": full, "full_raw": full, "without_private_test": without}
    # The totals of the paper.
    assert [all_images[name] for name in BASIC_EXPRESSIONS] == [
        *(4002, 5121, 547, 8989, 6077, 4953, 6198)
    ]


def test_image_folders(folders, owners_files, tmp_path):
    builder = prepare(folders(owners_files), tmp_path)
    assert builder.info.full_name == "fer2013/full/2.0.0"
    assert tuple(builder.info.features["expression"].names) == BASIC_EXPRESSIONS
    assert list(builder.info.splits) == ["train", "public_test", "private_test"]
    assert Counter(names(builder, "train").values()) == dict.fromkeys(BASIC_EXPRESSIONS, 2)
    assert names(builder, "public_test")["test/happy/PublicTest_33.jpg"] == "happiness"
    assert names(builder, "private_test")["test/angry/PrivateTest_04.jpg"] == "anger"
    examples = read(builder, "train")
    for file in list(examples)[::5]:
        image = examples[file]["image"]
        assert image.shape == (48, 48, 1) and image.dtype == np.uint8
        expected = Image.open(io.BytesIO(owners_files[file]))
        np.testing.assert_array_equal(image[..., 0], np.asarray(expected))
    assert not (builder.data_path / "removed_duplicates.csv").exists()


@pytest.mark.parametrize(
    ("public", "private"),
    [
        ("public_test", "private_test"),
        ("validation", "test"),
        ("Public_Test", "test"),
    ],
)
def test_folders_of_the_three_parts(public, private, folders, tmp_path):
    source = folders(
        {
            "train/Happiness/Training_1.jpg": jpeg(draw(1)),
            "train/AN/a.jpg": jpeg(draw(2)),
            f"{public}/fearful/b.jpg": jpeg(draw(3)),
            f"{private}/sad/c.jpg": jpeg(draw(4)),
        }
    )
    builder = prepare(source, tmp_path)
    assert set(names(builder, "train").values()) == {"happiness", "anger"}
    assert names(builder, "public_test") == {f"{public}/fearful/b.jpg": "fear"}
    assert names(builder, "private_test") == {f"{private}/sad/c.jpg": "sadness"}
    without = prepare(source, tmp_path, config="without_private_test")
    assert list(without.info.splits) == ["train", "test"]
    assert set(names(without, "train").values()) == {"happiness", "anger"}
    assert names(without, "test") == {f"{public}/fearful/b.jpg": "fear"}


def test_csv_without_the_private_test(tmp_path):
    source = tmp_path / "fer2013.csv"
    usages = ("Training", "PublicTest", "PrivateTest")
    source.write_bytes(table([(3, pixel_text(draw(i)), u) for i, u in enumerate(usages)]))
    builder = prepare(source, tmp_path, config="without_private_test")
    assert names(builder, "train") == {"fer2013.csv#2": "happiness"}
    assert names(builder, "test") == {"fer2013.csv#3": "happiness"}


def test_csv_in_a_zip_gives_the_same_examples_as_the_folders(folders, tmp_path):
    shown = {
        f"train/{spelling}/Training_{code}.png": (code, draw(code), "Training")
        for code, spelling in enumerate(SPELLINGS)
    }
    shown["test/fear/PublicTest_7.png"] = (2, draw(7), "PublicTest")
    shown["test/neutral/PrivateTest_8.png"] = (6, draw(8), "PrivateTest")
    source = tmp_path / "fer2013.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        rows = [(code, pixel_text(image), usage) for code, image, usage in shown.values()]
        archive.writestr("fer2013/fer2013.csv", table(rows))
    from_csv = prepare(source, tmp_path)
    from_folders = prepare_dataset(
        "fer2013",
        folders({name: png(image) for name, (_, image, _) in shown.items()}),
        data_dir=tmp_path / "other",
        partial=True,
    )
    for split in ("train", "public_test", "private_test"):
        pictures = [
            {(e["image"].tobytes(), int(e["expression"])) for e in builder.as_data_source(split)}
            for builder in (from_csv, from_folders)
        ]
        assert pictures[0] == pictures[1]
    assert set(read(from_csv, "train")) == {f"fer2013.csv#{line}" for line in range(2, 9)}
    assert list(read(from_csv, "public_test")) == ["fer2013.csv#9"]


def test_csv_file_itself_and_the_column_order_of_the_other_csv(tmp_path):
    source = tmp_path / "icml_face_data.csv"
    source.write_text(
        f"emotion, Usage, pixels\n"
        f"3, Training, {pixel_text(draw(0))}\n"
        f"0, PublicTest, {pixel_text(draw(1))}\n"
        f"1, PrivateTest, {pixel_text(draw(2))}\n"
    )
    builder = prepare(source, tmp_path)
    assert names(builder, "train") == {"icml_face_data.csv#2": "happiness"}


@pytest.fixture
def with_duplicates(folders, owners_files):
    twice, conflicting = jpeg(draw(100)), jpeg(draw(101))
    return folders(
        owners_files
        | {
            "train/happy/Training_901.jpg": twice,
            "train/happy/Training_902.jpg": twice,
            "test/happy/PublicTest_903.jpg": twice,
            "train/sad/Training_904.jpg": conflicting,
            "test/angry/PrivateTest_905.jpg": conflicting,
            "test/fear/PrivateTest_906.jpg": conflicting,
        }
    )


def test_training_images_that_are_test_images_are_removed_and_listed(with_duplicates, tmp_path):
    builder = prepare(with_duplicates, tmp_path)
    train = read(builder, "train")
    assert len(train) == 14
    assert not [file for file in train if "Training_9" in file]
    assert not any(e["duplicated_in_train"] for e in train.values())
    duplicated = {
        file
        for split in ("public_test", "private_test")
        for file, example in read(builder, split).items()
        if example["duplicated_in_train"]
    }
    assert duplicated == {
        "test/happy/PublicTest_903.jpg",
        "test/angry/PrivateTest_905.jpg",
        "test/fear/PrivateTest_906.jpg",
    }
    # The labels of the test images stay the owner's, also where they conflict.
    assert names(builder, "private_test")["test/angry/PrivateTest_905.jpg"] == "anger"
    removed = [tuple(row.values()) for row in rows_of(builder.data_path / "removed_duplicates.csv")]
    assert removed == [
        tuple(f"{split}/{file}.jpg" if "_" in file else file for split, file in row)
        for row in (
            [("train", "happy/Training_901"), ("", "happiness")]
            + [("test", "happy/PublicTest_903"), ("", "happiness")],
            [("train", "happy/Training_902"), ("", "happiness")]
            + [("test", "happy/PublicTest_903"), ("", "happiness")],
            [("train", "sad/Training_904"), ("", "sadness")]
            + [("test", "angry/PrivateTest_905"), ("", "anger")],
            [("train", "sad/Training_904"), ("", "sadness")]
            + [("test", "fear/PrivateTest_906"), ("", "fear")],
        )
    ]
    assert builder.info.metadata["removed_from_train"] == 3
    assert builder.info.metadata["test_images_duplicated_in_train"] == 3


def test_raw_configuration_keeps_the_duplicates_and_marks_the_test_images(
    with_duplicates, tmp_path
):
    builder = prepare(with_duplicates, tmp_path, config="full_raw")
    assert len(read(builder, "train")) == 17
    marked = [e["duplicated_in_train"] for e in read(builder, "private_test").values()]
    assert sum(marked) == 2
    assert not (builder.data_path / "removed_duplicates.csv").exists()


def test_equal_pictures_are_found_through_the_noise_of_an_encoder(folders, owners_files, tmp_path):
    smooth = np.add.outer(np.arange(48), 2 * np.arange(48)).astype(np.uint8)
    other_crop = np.roll(smooth, 8, axis=1)
    source = folders(
        owners_files
        | {
            "train/happy/Training_901.jpg": jpeg(smooth),
            "train/happy/Training_902.png": png(other_crop),
            "test/sad/PublicTest_903.png": png(smooth),
        }
    )
    builder = prepare(source, tmp_path)
    assert set(read(builder, "train")) & {
        "train/happy/Training_901.jpg",
        "train/happy/Training_902.png",
    } == {"train/happy/Training_902.png"}
    [removed] = rows_of(builder.data_path / "removed_duplicates.csv")
    assert removed["removed_file"] == "train/happy/Training_901.jpg"
    assert removed["test_file"] == "test/sad/PublicTest_903.png"
    [marked] = [f for f, e in read(builder, "public_test").items() if e["duplicated_in_train"]]
    assert marked == "test/sad/PublicTest_903.png"


def test_empty_pictures_are_left_out_and_listed(folders, owners_files, tmp_path):
    black, gray = jpeg(np.zeros((48, 48), np.uint8)), jpeg(np.full((48, 48), 128, np.uint8))
    files = owners_files | {
        "train/happy/Training_901.jpg": black,
        "train/sad/Training_902.jpg": gray,
        "test/angry/PublicTest_903.jpg": black,
    }
    builder = prepare(folders(files), tmp_path)
    assert builder.info.metadata["empty_pictures"] == 3
    assert [tuple(row.values()) for row in rows_of(builder.data_path / "empty_pictures.csv")] == [
        ("test/angry/PublicTest_903.jpg", "public_test", "anger"),
        ("train/happy/Training_901.jpg", "train", "happiness"),
        ("train/sad/Training_902.jpg", "train", "sadness"),
    ]
    # What is of no use is not called a duplicate, too.
    assert builder.info.metadata["removed_from_train"] == 0
    assert len(read(builder, "train")) == 14 and len(read(builder, "public_test")) == 7
    raw = prepare(folders(files), tmp_path, config="full_raw")
    assert len(read(raw, "train")) == 16 and len(read(raw, "public_test")) == 8


def test_other_counts_than_documented_name_the_first_mismatch(folders, owners_files, tmp_path):
    with pytest.raises(UserError) as raised:
        prepare(folders(owners_files), tmp_path, partial=False)
    assert str(raised.value) == (
        "fer2013/full: train/surprise has 2 images where 3171 are documented; "
        "complete the source, or accept it as it is with --partial"
    )
    assert not list((tmp_path / "data").iterdir())


def test_counts_of_another_configuration_are_recognised(tmp_path):
    config = "without_private_test"
    found = dict(Builder.DOCUMENTED[config])
    Builder(config=config, data_dir=tmp_path).check_counts(found, Builder.DOCUMENTED)
    with pytest.raises(UserError, match=f"these are the counts of --config {config}$"):
        Builder(config="full", data_dir=tmp_path).check_counts(found, Builder.DOCUMENTED)
    found["train/sadness"] -= 1
    with pytest.raises(UserError, match="train/sadness has 4829 images where 4830 are"):
        Builder(config=config, data_dir=tmp_path).check_counts(found, Builder.DOCUMENTED)


def test_a_source_of_a_configuration_with_other_splits_is_recognised(
    folders, owners_files, tmp_path, monkeypatch
):
    numbers = {
        "full": {"train": 2, "public_test": 1, "private_test": 1},
        "without_private_test": {"train": 1, "test": 1},
    }
    documented = {
        config: {f"{split}/{name}": n for split, n in splits.items() for name in BASIC_EXPRESSIONS}
        for config, splits in numbers.items()
    }
    monkeypatch.setattr(Builder, "DOCUMENTED", documented)
    without = {"config": "without_private_test", "partial": False}
    with pytest.raises(UserError, match="train/surprise has 2 .* counts of --config full$"):
        prepare(folders(owners_files), tmp_path, **without)
    fewer = [name for name in owners_files if name.startswith("train") and name.endswith("2.jpg")]
    for name in fewer:
        (tmp_path / "archive" / name).unlink()
    with pytest.raises(UserError, match="train/surprise has 1 .* --config without_private_test$"):
        prepare(tmp_path / "archive", tmp_path, config="full", partial=False)
    (tmp_path / "archive" / fewer[0].replace("2.jpg", "1.jpg")).unlink()
    with pytest.raises(UserError, match="complete the source"):
        prepare(tmp_path / "archive", tmp_path, config="full", partial=False)


BAD_FILES = {
    "train/angry/Training_01.jpg": (jpeg(draw(0))[:300], "not a readable image"),
    "train/fear/Training_21.jpg": (b"", "the file is empty"),
    "test/sad/PublicTest_43.jpg": (jpeg(draw(1, (64, 48))), "64x48 pixels instead of 48x48"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_named(name, folders, owners_files, tmp_path):
    source = folders(owners_files | {name: BAD_FILES[name][0]})
    with pytest.raises(UserError) as raised:
        prepare(source, tmp_path)
    assert f"{name}: {BAD_FILES[name][1]}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bad_files_can_be_skipped_and_are_listed(folders, owners_files, tmp_path):
    source = folders(owners_files | {name: data for name, (data, _) in BAD_FILES.items()})
    builder = prepare(source, tmp_path, on_bad_file="skip")
    listed = {
        row["file"]: row["reason"] for row in rows_of(builder.data_path / "skipped_files.csv")
    }
    assert set(listed) == set(BAD_FILES)
    for name, (_, reason) in BAD_FILES.items():
        assert reason in listed[name]
    assert builder.info.metadata["skipped_files"] == 3
    assert len(read(builder, "train")) == 12


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((7, pixel_text(draw(0)), "Training"), "line 3: emotion is '7', not a number from 0 to 6"),
        ((0, pixel_text(draw(0)), "Test"), "line 3: Usage is 'Test', not one of Training"),
        ((0, "1 2 3", "Training"), "line 3: 3 pixels instead of 48x48"),
        ((0, "256 " * 2304, "Training"), "line 3: a pixel value outside 0 to 255"),
        ((0, "x " * 2304, "Training"), "line 3: not a pixel value"),
    ],
)
def test_bad_csv_line_is_named(row, message, tmp_path):
    source = tmp_path / "fer2013.csv"
    source.write_bytes(table([(0, pixel_text(draw(1)), "Training"), row]))
    with pytest.raises(UserError, match=message):
        prepare(source, tmp_path)


def test_csv_without_a_column_or_cut_in_the_zip(tmp_path):
    source = tmp_path / "fer2013.csv"
    source.write_bytes(table([], header="emotion,pixels"))
    with pytest.raises(UserError, match="lacks the column Usage"):
        prepare(source, tmp_path)
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        rows = [(0, " ".join(["111"] * 2304), "Training")] * 2
        archive.writestr("fer2013.csv", table(rows))
    # One pixel more or less looks fine; the checksum of the zip knows.
    (tmp_path / "damaged.zip").write_bytes(whole.read_bytes().replace(b"111", b"112", 1))
    with pytest.raises(UserError, match=r"fer2013\.csv in .*damaged\.zip cannot be read to its en"):
        prepare(tmp_path / "damaged.zip", tmp_path)


def test_damaged_image_inside_a_zip_is_named(owners_files, tmp_path):
    source = tmp_path / "archive.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in owners_files.items():
            archive.writestr(name, data)
        entry = archive.getinfo("train/happy/Training_31.jpg")
    data = bytearray(source.read_bytes())
    data[entry.header_offset + 200 : entry.header_offset + 260] = bytes(60)
    source.write_bytes(data)
    with pytest.raises(UserError, match=r"train/happy/Training_31\.jpg: damaged in the zip file"):
        prepare(source, tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"train/smug/Training_1.jpg": b"x"},
            "unknown expression 'smug'; known are surprise, fear",
        ),
        ({"train/contempt/Training_1.jpg": b"x"}, "'contempt' is none of FER-2013's seven"),
        ({"train/sad/PublicTest_1.jpg": b"x"}, "a PublicTest file in the folder train"),
        ({"test/sad/Training_1.jpg": b"x"}, "a Training file in the folder test"),
        ({"test/sad/photo1.jpg": b"x"}, "named PublicTest_<n> or PrivateTest_<n>"),
        ({"private_test/sad/PublicTest_1.jpg": b"x"}, "PublicTest file in the folder private_test"),
        (
            {"train/sad/Training_1.jpg": b"x", "fer2013.csv": b"x"},
            r"both train/sad/Training_1\.jpg and fer2013\.csv",
        ),
        (
            {"a/train/sad/Training_1.jpg": b"x", "b/train/sad/Training_1.jpg": b"x"},
            "in a/ and in b/",
        ),
        ({"holiday.png": b"x"}, r"expected train/<class>/.*or fer2013\.csv; found holiday\.png"),
    ],
)
def test_trees_that_are_refused(files, message, folders, tmp_path):
    with pytest.raises(UserError, match=message):
        prepare(folders(files), tmp_path)


def test_part_of_the_set_has_only_the_splits_that_are_there(folders, tmp_path):
    source = folders({"train/sad/Training_1.jpg": jpeg(draw(1))})
    assert list(prepare(source, tmp_path).info.splits) == ["train"]


def test_nothing_but_empty_pictures_is_an_error(folders, tmp_path):
    source = folders({"train/sad/Training_1.png": png(np.zeros((48, 48), np.uint8))})
    with pytest.raises(UserError, match="no readable image"):
        prepare(source, tmp_path)
    assert not list((tmp_path / "data").iterdir())


def test_nothing_readable_is_an_error(folders, tmp_path):
    source = folders({"train/sad/Training_1.jpg": b"x"})
    with pytest.raises(UserError, match="no readable image"):
        prepare(source, tmp_path, on_bad_file="skip")


def test_order_of_files_on_disk_changes_nothing(owners_files, tmp_path):
    orders = []
    for position, names_in_order in enumerate((list(owners_files), list(owners_files)[::-1])):
        source = tmp_path / f"{position}.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name in names_in_order:
                archive.writestr(name, owners_files[name])
        builder = prepare_dataset(
            "fer2013", source, data_dir=tmp_path / f"data{position}", partial=True
        )
        orders.append([e["file"] for e in builder.as_data_source("train")])
    assert orders[0] == orders[1]


def test_metadata_files_are_read():
    metadata = Builder.get_metadata()
    assert "369 training images" in metadata.description
    assert "goodfellow2013" in metadata.citation
    assert "content.data-type.image" in metadata.tags


@pytest.mark.skipif(not REAL_DATA.is_file(), reason="the development data are not there")
def test_real_fer2013(tmp_path):
    with pytest.raises(UserError, match="these are the counts of --config without_private_test"):
        prepare(REAL_DATA, tmp_path, partial=False)
    builder = prepare(REAL_DATA, tmp_path, config="without_private_test", partial=False)
    counts = class_counts(builder, "expression")
    assert [counts["train"][name] for name in BASIC_EXPRESSIONS] == [
        *(3028, 4041, 414, 7184, 4798, 3923, 4940)
    ]
    assert [counts["test"][name] for name in BASIC_EXPRESSIONS] == [
        *(415, 496, 56, 894, 653, 466, 607)
    ]
    assert dict(builder.info.metadata) == {
        "partial": False,
        "skipped_files": 0,
        "empty_pictures": 14,
        "removed_from_train": 369,
        "test_images_duplicated_in_train": 290,
        "near_duplicates_across_splits": 45,
    }
    listed = rows_of(builder.data_path / "removed_duplicates.csv")
    assert len({row["removed_file"] for row in listed}) == 369
    assert len({row["test_file"] for row in listed}) == 290
    assert len(rows_of(builder.data_path / "empty_pictures.csv")) == 14
    encoded = {
        split: {
            example["image"]
            for example in builder.as_data_source(
                split, decoders={"image": tfds.decode.SkipDecoding()}
            )
        }
        for split in ("train", "test")
    }
    assert not encoded["train"] & encoded["test"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_csv_as_spreadsheets_save_it(encoding, separator, tmp_path):
    pixels = {n: " ".join(str(n * i % 251) for i in range(1, 2305)) for n in (3, 4)}
    rows = [separator.join((str(n), pixels[n], "Training")) for n in pixels]
    text = "\r\n".join([separator.join(("Emotion", "pixels", "Usage")), *rows])
    source = tmp_path / "fer2013.csv"
    source.write_text(text, encoding=encoding)
    builder = prepare(source, tmp_path, partial=True)
    names = builder.info.features["expression"].names
    shown = {
        names[int(example["expression"])]: int(example["image"][0, 0, 0])
        for example in builder.as_data_source("train")
    }
    assert shown == {"happiness": 3, "sadness": 4}


def test_a_quote_that_is_not_closed_is_named(tmp_path):
    source = tmp_path / "fer2013.csv"
    source.write_text('emotion,pixels,Usage\n3,"1 1,Training\n3,1 1,Training\n')
    with pytest.raises(UserError, match="fer2013.csv line 2: a quote is not closed"):
        prepare(source, tmp_path, partial=True)
