import io

import numpy as np
from PIL import Image

from tdgan_jax.data.equal_pictures import (
    MAX_DIFFERENCE,
    empty_pictures,
    gray_pictures,
    nearly_equal,
)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 12, 8), dtype=np.uint8)


def test_pairs_are_those_within_the_difference():
    first = np.clip(noise(40), 20, 235)
    second = noise(600, seed=1)
    second[3] = first[7] + 5  # as far as is equal
    second[4] = first[8] + 6
    second[599] = first[39]
    second[598] = first[7]
    assert sorted(nearly_equal(first, second)) == [(7, 3), (7, 598), (39, 599)]
    assert MAX_DIFFERENCE == 5
    assert set(nearly_equal(first, second, max_difference=6)) >= {(8, 4)}


def test_all_pairs_of_a_brute_force_comparison_are_found():
    random = np.random.default_rng(2)
    base = noise(5, seed=3).astype(np.float32)
    first, second = (
        np.clip(base[random.integers(5, size=30)] + random.normal(0, 4, (30, 12, 8)), 0, 255)
        for _ in range(2)
    )
    first, second = first.astype(np.uint8), second.astype(np.uint8)
    squares = (first[:, None].astype(int) - second[None]) ** 2
    expected = np.argwhere(squares.mean(axis=(2, 3)) <= MAX_DIFFERENCE**2)
    assert 0 < len(expected) < 900
    assert sorted(nearly_equal(first, second)) == [tuple(pair) for pair in expected.tolist()]


def test_no_pictures_have_no_pairs():
    assert list(nearly_equal(noise(0), noise(3))) == list(nearly_equal(noise(3), noise(0))) == []


def test_pictures_without_contrast_are_empty():
    pictures = noise(5)
    pictures[1] = 0
    pictures[3] = 128
    pictures[3, 0, 0] = 131
    assert empty_pictures(pictures).tolist() == [1, 3]


def test_files_become_pictures():
    pictures = noise(3)
    files = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        files.append(buffer.getvalue())
    np.testing.assert_array_equal(gray_pictures(files), pictures)
