import numpy as np
import pytest

from tdgan_jax.preparation.division import folds, owners_splits
from tdgan_jax.preparation.listing import ListedImage


def listed(*rows: tuple[str, str | None, str]) -> list[ListedImage]:
    """Images from (subject, expression, split)."""
    return [
        ListedImage(f"{i}.png", f"{i}.png", split, expression, subject or None, subject)
        for i, (subject, expression, split) in enumerate(rows)
    ]


def pictures(*numbers: int) -> tuple[np.ndarray, np.ndarray]:
    """Digests and fingerprints; equal numbers are equal pictures."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 32), dtype=np.uint8)
    return noise[list(numbers)], noise[list(numbers)]


def people(images, division) -> dict[str, set[str]]:
    return {name: {images[i].subject for i in at} for name, at in division.positions.items()}


def test_people_who_share_a_picture_stay_together_also_by_way_of_a_third():
    images = listed(*((f"p{i:02d}", "fear", "train") for i in range(24)))
    numbers = list(range(24))
    numbers[5], numbers[17] = 2, 9  # p05 is p02, p17 is p09
    chain = listed(*((f"p{i:02d}", "fear", "train") for i in (2, 9)))
    images += [image._replace(file=f"more_{image.file}") for image in chain]
    division = folds(images, *pictures(*numbers, 50, 50))  # p02 is p09 by another picture
    fold_of = {subject: name for name, who in people(images, division).items() for subject in who}
    assert len({fold_of[subject] for subject in ("p02", "p05", "p09", "p17")}) == 1
    assert sum(map(len, division.positions.values())) == 26
    assert division.notes["identical_pictures"] == 3
    assert division.notes["identical_pictures_of_different_subjects"] == 3
    rows = division.tables["identical_pictures.csv"]
    assert [(row["picture"], row["subject"]) for row in rows[:2]] == [(1, "p02"), (1, "p05")]


def test_conflicting_labels_of_one_picture_are_counted_and_nothing_is_removed():
    images = listed(
        ("a", "neutral", "train"), ("a", "sadness", "train"), ("b", "fear", "train"),
        ("b", None, "train"), ("c", "fear", "train"),
    )  # fmt: skip
    division = folds(images, *pictures(1, 1, 2, 2, 3))
    assert division.notes["identical_pictures"] == 2
    assert division.notes["identical_pictures_of_different_expressions"] == 1
    assert sorted(i for at in division.positions.values() for i in at) == [0, 1, 2, 3, 4]


def test_subject_table_has_the_fold_and_the_counts_of_everybody():
    rows = [(f"p{i % 12:02d}", ("fear", "anger")[i % 2], "train") for i in range(30)]
    images = listed(*rows)
    division = folds(images, *pictures(*range(30)))
    table = division.tables["folds.csv"]
    assert [row["subject"] for row in table] == sorted({row[0] for row in rows})
    assert sum(int(str(row["images"])) for row in table) == 30
    for row in table:
        assert row["subject"] in people(images, division)[f"fold_{row['fold']}"]
        assert row["images"] == row["anger"] + row["fear"]


@pytest.mark.parametrize(
    ("subjects", "splits", "note"),
    [
        ("aabbcc", 3, "3, because there are only 3 subjects"),
        ("aaaaaa", 1, "none, because there is only one subject"),
        ("", 1, "none, because the subjects are not known"),
    ],
)
def test_few_or_no_subjects_give_fewer_or_no_folds(subjects, splits, note):
    images = listed(*((subject, "fear", "train") for subject in subjects or [""] * 6))
    division = folds(images, *pictures(*range(6)))
    assert len(division.positions) == splits
    assert division.notes["folds"] == note
    if splits == 1:
        assert division.positions["train"].tolist() == list(range(6))


def test_near_duplicates_of_different_folds_are_listed():
    images = listed(("a", "fear", "train"), ("b", "anger", "train"), ("c", None, "train"))
    digests, prints = pictures(1, 2, 3)
    prints[2] = prints[0]
    prints[2, 0] ^= 3
    division = folds(images, digests, prints)
    [row] = division.tables["near_duplicates.csv"]
    assert row["bits_that_differ"] == 2
    assert {row["first_file"], row["second_file"]} == {"0.png", "2.png"}
    assert row["first_split"] != row["second_split"]
    assert division.notes["near_duplicates_across_splits"] == 1


def test_training_copies_of_test_pictures_are_removed_and_paired_with_them():
    images = listed(
        ("", "fear", "train"), ("", "anger", "train"), ("", "fear", "test"), ("", "fear", "train")
    )
    division = owners_splits(images, *pictures(1, 1, 1, 2))
    assert {name: at.tolist() for name, at in division.positions.items()} == {
        "train": [3],
        "test": [2],
    }
    assert division.duplicated_in_train == {2}
    removed = [tuple(row.values()) for row in division.tables["removed_duplicates.csv"]]
    assert removed == [("0.png", "fear", "2.png", "fear"), ("1.png", "anger", "2.png", "fear")]
    kept = owners_splits(images, *pictures(1, 1, 1, 2), drop_copies=False)
    assert kept.positions["train"].tolist() == [0, 1, 3]
    assert kept.duplicated_in_train == {2}


def test_nearly_equal_pictures_are_copies_too_and_what_is_left_out_stands_nowhere():
    images = listed(*(("", "fear", split) for split in ("train", "train", "train", "test", "test")))
    division = owners_splits(
        images, *pictures(1, 2, 3, 4, 3), nearly_equal=[(0, 3), (2, 3)], left_out=[1, 4]
    )
    assert {name: at.tolist() for name, at in division.positions.items()} == {"test": [3]}
    assert division.duplicated_in_train == {3}
    removed = [row["removed_file"] for row in division.tables["removed_duplicates.csv"]]
    assert removed == ["0.png", "2.png"]
    assert division.notes["removed_from_train"] == 2
