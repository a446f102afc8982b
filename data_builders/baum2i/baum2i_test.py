from collections import Counter

import pytest
from tdgan_jax.data_builders.baum2i.baum2i_dataset_builder import NUM_IMAGES

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.preparation.contents import class_counts
from tdgan_jax.preparation.preparing import prepare_dataset
from tests.owners_files import assert_ten_disjoint_folds, counted, picture, write_tree


def rows(count: int) -> list[tuple[str, str, str]]:
    return [
        (f"frames/S{i % 23:03d}_{i:03d}.png", BASIC_EXPRESSIONS[i % 7], f"S{i % 23:03d}")
        for i in range(count)
    ]


def table(entries: list[tuple[str, str, str]]) -> str:
    return "\n".join(["image,expression,subject", *(",".join(entry) for entry in entries)])


def test_table(tmp_path):
    entries = rows(69)
    files = {name: picture(seed) for seed, (name, _, _) in enumerate(entries)}
    source = write_tree(tmp_path / "s", files | {"peaks.csv": table(entries)})
    builder = prepare_dataset("baum2i", source, data_dir=tmp_path / "data", partial=True)
    assert tuple(builder.info.features["expression"].names) == BASIC_EXPRESSIONS
    counts = sum(class_counts(builder, "expression").values(), start=Counter())
    assert counts == Counter(expression for _, expression, _ in entries)
    assert_ten_disjoint_folds(builder, 23)


def test_class_folders(tmp_path):
    names = ("Anger/S001_002.png", "boredom/S001_003.png", "Happy/s002_001.png")
    files = {name: picture(seed) for seed, name in enumerate(names)}
    with pytest.raises(UserError, match="unknown expression 'boredom'; known are"):
        counted("baum2i", write_tree(tmp_path / "s", files))
    (tmp_path / "s" / "boredom").rename(tmp_path / "s" / "Contempt")
    builder = prepare_dataset("baum2i", tmp_path / "s", data_dir=tmp_path / "data", partial=True)
    counts = sum(class_counts(builder, "expression").values(), start=Counter())
    assert counts == {"anger": 1, "happiness": 1}
    assert builder.info.features["identity"].names == ["S001", "S002"]


def test_documented_number(tmp_path):
    source = write_tree(tmp_path / "whole", {"peaks.csv": table(rows(NUM_IMAGES))})
    assert counted("baum2i", source)["images"] == 998
    source = write_tree(tmp_path / "more", {"peaks.csv": table(rows(999))})
    with pytest.raises(UserError, match="there are 999 images where 998 are documented"):
        counted("baum2i", source)
