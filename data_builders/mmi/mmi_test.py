import io

import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS, MMI_CODES, SIX_EXPRESSIONS
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import assert_ten_disjoint_folds, counted, picture, write_tree

av = pytest.importorskip("av")

NUM_FRAMES = 9


def video(brightness_step: int, size_px: tuple[int, int] = (32, 480)) -> bytes:
    """A video whose n-th frame has the gray value of n steps, its first row white."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height = size_px
        stream.pix_fmt = "gray"
        for number in range(NUM_FRAMES):
            pixels = np.full((size_px[1], size_px[0]), number * brightness_step, np.uint8)
            pixels[: size_px[1] // 4] = 255
            pixels[size_px[1] // 2] = brightness_step  # no two videos share a frame
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()


def session(number: int, subject: str, code: int | None, view: int = 0, **files) -> dict:
    """A session as the owner hands it out."""
    folder, name = f"Sessions/{number}", f"{subject}-{number:03d}"
    tag = "" if code is None else f'<Metatag Name="Emotion" Value="{code}"/>'
    return {
        f"{folder}/{name}.avi": video(10 + number),
        f"{folder}/{name}.xml": f"<Recording><Metatag Name='Keywords' Value='x'/>{tag}</Recording>",
        f"{folder}/session.xml": f"<session><subject id='1'/><track view='{view}'/></session>",
    } | {f"{folder}/{key.replace('__', name)}": data for key, data in files.items()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twelve people with an expression each, and sessions that are not used."""
    files: dict[str, bytes | str] = {}
    for number in range(1, 13):
        files |= session(number, f"S{number:03d}", 1 + (number - 1) % 6)
    files |= session(13, "S001", None)
    files |= session(14, "S001", 8)
    files |= session(15, "S002", 4, view=1)
    return write_tree(tmp_path_factory.mktemp("mmi"), files)


def gray_values(builder) -> dict[str, int]:
    return {
        example["file"].decode(): int(example["image"][-1, 0, 0])
        for split in builder.info.splits
        for example in builder.as_data_source(split)
    }


def test_three_middle_frames_of_frontal_sequences(source, tmp_path):
    builder = prepare_dataset("mmi", source, data_dir=tmp_path, partial=True)
    assert builder.info.full_name == "mmi/without_neutral/1.0.0"
    assert tuple(builder.info.features["expression"].names) == SIX_EXPRESSIONS
    assert_ten_disjoint_folds(builder, 12)
    assert builder.info.metadata["unlabelled_sequences"] == 2
    values = gray_values(builder)
    assert len(values) == 12 * 3
    # Of nine frames the middle ones are 3, 4 and 5.
    assert [values[f"Sessions/2/S002-002.avi#{i}"] for i in range(3)] == [36, 48, 60]
    label = builder.info.features["expression"]
    shown = {
        int(example["subject"][1:]): label.int2str(int(example["expression"]))
        for split in builder.info.splits
        for example in builder.as_data_source(split)
    }
    assert shown == {number: MMI_CODES[1 + (number - 1) % 6] for number in range(1, 13)}


def test_first_frames_as_neutral(source, tmp_path):
    builder = prepare_dataset("mmi", source, config="with_neutral", data_dir=tmp_path, partial=True)
    assert tuple(builder.info.features["expression"].names) == BASIC_EXPRESSIONS
    neutral = [
        example["file"].decode()
        for split in builder.info.splits
        for example in builder.as_data_source(split)
        if int(example["expression"]) == BASIC_EXPRESSIONS.index("neutral")
    ]
    assert len(neutral) == 12
    assert all(name.endswith(".avi#first") for name in neutral)
    assert {gray_values(builder)[name] for name in neutral} == {0}


def test_recordings_of_a_camera_on_its_side_are_turned(tmp_path):
    sideways = video(20, size_px=(48, 40))
    files = session(1, "S001", 1) | {"Sessions/1/S001-001.avi": sideways}
    coded = session(2, "S002", 1) | {"Sessions/2/S002-002.avi": sideways}
    coded["Sessions/2/S002-002-oao_aucs.xml"] = "<x/>"
    source = write_tree(tmp_path / "s", files | coded)
    builder = prepare_dataset("mmi", source, data_dir=tmp_path / "data", partial=True)
    images = {
        example["subject"]: example["image"]
        for split in builder.info.splits
        for example in builder.as_data_source(split)
    }
    # The white rows on top have become columns on the right, as turned clockwise.
    assert images[b"S001"].shape == (48, 40, 3)
    assert images[b"S001"][:, -1].min() == 255 and images[b"S001"][:, 0].max() < 255
    assert images[b"S002"].shape == (40, 48, 3)


def test_damaged_video_is_named_or_left_out(tmp_path):
    files = session(1, "S001", 1) | session(2, "S002", 2) | {"Sessions/1/S001-001.avi": b"RIFF"}
    source = write_tree(tmp_path / "s", files)
    with pytest.raises(UserError, match=r"Sessions/1/S001-001\.avi: not a readable video"):
        prepare_dataset("mmi", source, data_dir=tmp_path / "data", partial=True)
    builder = prepare_dataset(
        "mmi", source, data_dir=tmp_path / "data", partial=True, on_bad_file="skip"
    )
    assert len(gray_values(builder)) == 3


def test_table_of_frames_needs_no_video(tmp_path):
    lines = ["image,expression,subject", "a.png,anger,S1", "b.png,neutral,S1", "c.png,joy,S2"]
    files = {f"{name}.png": picture(seed) for seed, name in enumerate("abc")}
    source = write_tree(tmp_path / "s", files | {"frames.csv": "\n".join(lines)})
    builder = prepare_dataset("mmi", source, data_dir=tmp_path / "data", partial=True)
    assert set(gray_values(builder)) == {"a.png", "c.png"}


def test_documented_numbers(tmp_path):
    rows = [f"{i}.png,{SIX_EXPRESSIONS[i % 6]},S{i % 31:03d}" for i in range(624)]
    table = "\n".join(["image,expression,subject", *rows])
    assert counted("mmi", write_tree(tmp_path / "s", {"frames.csv": table}))["subjects"] == 31
    with pytest.raises(UserError, match="there are 624 images where 832 are documented"):
        counted("mmi", tmp_path / "s", "with_neutral")
