from pathlib import Path

import pytest
from tdgan_jax.data_builders.yale_faces.yale_faces_dataset_builder import (
    CONDITIONS,
    EXPRESSIVE,
    SIZE_PX,
)

from tdgan_jax.errors import UserError
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import assert_ten_disjoint_folds, picture, write_tree

REAL_DATA = Path(__file__).parents[3] / "shared" / "data" / "yalefaces.zip"
ORDER = ("surprise", "happiness", "sadness", "neutral")


def owners_files(people: int = 15, conditions=(*EXPRESSIVE, "wink")) -> dict[str, bytes]:
    names = [f"subject{n:02d}.{c}" for n in range(1, people + 1) for c in conditions]
    return {
        f"yalefaces/{name}": picture(seed, size_px=SIZE_PX, mode="L", suffix="GIF")
        for seed, name in enumerate(names)
    }


def test_four_expressions_in_ten_folds_and_the_rest_unlabelled(tmp_path):
    source = write_tree(tmp_path / "s", owners_files() | {"yalefaces/Readme.txt": "GIF"})
    builder = prepare_dataset("yale_faces", source, data_dir=tmp_path / "data")
    assert tuple(builder.info.features["expression"].names) == ORDER
    for counts in class_counts(builder, "expression").values():
        assert {counts[name] for name in (*ORDER, "-1")} in ({1}, {2})
    assert_ten_disjoint_folds(builder, 15)
    label = builder.info.features["expression"]
    shown = {
        example["file"].decode(): int(example["expression"])
        for example in builder.as_data_source("fold_1")
        if example["subject"] == b"subject02"
    }
    assert {name.partition(".")[2]: label.int2str(n) for name, n in shown.items() if n >= 0} == {
        "happy": "happiness",
        "normal": "neutral",
        "sad": "sadness",
        "surprised": "surprise",
    }
    assert shown["subject02.wink"] == -1


def test_copies_with_a_suffix_are_one_image_and_eleven_conditions_are_known(tmp_path):
    assert len(CONDITIONS) == len(set(CONDITIONS)) == 11
    files = owners_files(2, ("glasses", "sad"))
    files["yalefaces/subject01.glasses.gif"] = files["yalefaces/subject01.glasses"]
    source = write_tree(tmp_path / "s", files)
    builder = prepare_dataset("yale_faces", source, data_dir=tmp_path / "data", partial=True)
    assert sum(split.num_examples for split in builder.info.splits.values()) == 4


def test_missing_expression_is_counted(tmp_path):
    files = owners_files(15, EXPRESSIVE[:3])
    with pytest.raises(UserError, match="yale_faces: surprise has 0 images where 15 are"):
        prepare_dataset("yale_faces", write_tree(tmp_path / "s", files), data_dir=tmp_path / "data")


@pytest.mark.skipif(not REAL_DATA.is_file(), reason="the development data are not there")
def test_real_photographs_and_their_nine_identical_pairs(tmp_path):
    builder = prepare_dataset("yale_faces", REAL_DATA, data_dir=tmp_path)
    counts = class_counts(builder, "expression").values()
    assert {name: sum(count[name] for count in counts) for name in (*ORDER, "-1")} == {
        **dict.fromkeys(ORDER, 15),
        "-1": 104,
    }
    assert_ten_disjoint_folds(builder, 15)
    assert builder.info.metadata["identical_pictures"] == 9
    assert builder.info.metadata["identical_pictures_of_different_expressions"] == 1
    assert builder.info.metadata["identical_pictures_of_different_subjects"] == 0
    assert builder.info.metadata["near_duplicates_across_splits"] == 0
    rows = (builder.data_path / "identical_pictures.csv").read_text().splitlines()
    assert "3,subject04.normal,subject04,neutral" in rows
    assert "3,subject04.sad,subject04,sadness" in rows
