from collections import Counter

import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import assert_ten_disjoint_folds, counted, picture, write_tree

FOLDERS = "anger contempt disguest fear happiness neutral sadness surprise".split()
PEOPLE = [f"f{n:02d}" for n in range(1, 21)] + [f"m{n:02d}" for n in range(1, 21)]


def owners_files(people: list[str]) -> dict[str, bytes]:
    names = [f"dfh_{f}_x/{person}_dfh_{f[:2]}_+0.jpg" for f in FOLDERS for person in people]
    return {f"dfh/{name}": picture(seed, suffix="JPEG") for seed, name in enumerate(names)}


def test_folders_named_by_expression(tmp_path):
    source = write_tree(tmp_path / "TFEID", owners_files(PEOPLE[:3] + PEOPLE[-9:]))
    builder = prepare_dataset("tfeid", source, data_dir=tmp_path / "data", partial=True)
    assert tuple(builder.info.features["expression"].names) == BASIC_EXPRESSIONS
    counts = sum(class_counts(builder, "expression").values(), start=Counter())
    assert counts == dict.fromkeys(BASIC_EXPRESSIONS, 12)
    assert_ten_disjoint_folds(builder, 12)
    label = builder.info.features["expression"]
    disgusted = [
        example["file"].decode()
        for example in builder.as_data_source("fold_0")
        if label.int2str(int(example["expression"])) == "disgust"
    ]
    assert disgusted and all(name.startswith("dfh_disguest_x/") for name in disgusted)


def table(rows: int) -> str:
    lines = ["image,expression,subject"]
    for number in range(rows):
        lines.append(f"{number}.jpg,{BASIC_EXPRESSIONS[number % 7]},{PEOPLE[number % 40]}")
    return "\n".join([*lines, f"{rows}.jpg,contempt,f01"])


def test_table_of_580_images_is_complete_and_one_of_579_is_not(tmp_path):
    source = write_tree(tmp_path / "whole", {"labels.csv": table(580)})
    assert counted("tfeid", source)["images"] == 580
    source = write_tree(tmp_path / "part", {"labels.csv": table(579)})
    with pytest.raises(UserError, match="tfeid: there are 579 images where 580 are documented"):
        counted("tfeid", source)


def test_table_gives_the_same_examples_as_the_folders(tmp_path):
    files = owners_files(PEOPLE[:2])
    lines = ["image,expression,subject"]
    for name in files:
        folder, _, file = name.removeprefix("dfh/").partition("/")
        lines.append(f"dfh/{name.removeprefix('dfh/')},{folder.split('_')[1]},{file[:3].upper()}")
    built = [
        prepare_dataset("tfeid", source, data_dir=tmp_path / f"data_{source.name}", partial=True)
        for source in (
            write_tree(tmp_path / "folders", files),
            write_tree(tmp_path / "table", {**files, "labels.csv": "\n".join(lines)}),
        )
    ]
    shown = [
        {
            (e["image"].tobytes(), int(e["expression"]), e["subject"], split)
            for split in builder.info.splits
            for e in builder.as_data_source(split)
        }
        for builder in built
    ]
    assert shown[0] == shown[1]
    assert len(shown[0]) == 14


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"photo.jpg": b"x"}, r"expected dfh_anger_x/f01_dfh.*csv file with the columns image"),
        ({"dfh_smug_x/f01_dfh.jpg": b"x"}, "unknown expression 'smug'"),
        ({"f01_dfh_an.jpg": b"x"}, "1 level too deep"),
        (
            {f"{kind}/dfh_anger_x/f01_dfh.jpg": b"x" for kind in ("trimmed", "whole")},
            "more than once, in trimmed/ and in whole/",
        ),
    ],
)
def test_trees_that_are_refused(files, message, tmp_path):
    with pytest.raises(UserError, match=message):
        prepare_dataset("tfeid", write_tree(tmp_path / "s", files), data_dir=tmp_path / "data")
