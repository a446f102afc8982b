import numpy as np
from PIL import Image, ImageDraw

from tdgan_jax.data.image_files import fingerprint
from tdgan_jax.preparation.duplicates import identical_pictures, near_duplicates


def scene(seed: int, brightness: int = 0) -> Image.Image:
    """Ten gray ellipses."""
    draw = np.random.default_rng(seed)
    image = Image.new("L", (96, 96), 60 + brightness)
    for _ in range(10):
        x, y, width, height, level = draw.integers((0, 0, 10, 10, 0), (80, 80, 60, 60, 190))
        box = [int(x), int(y), int(x + width), int(y + height)]
        ImageDraw.Draw(image).ellipse(box, fill=int(level) + brightness)
    return image


def prints(*images: Image.Image) -> np.ndarray:
    return np.array([np.frombuffer(fingerprint(image), np.uint8) for image in images])


def test_identical_pictures_are_grouped_by_position():
    assert identical_pictures([b"a", b"b", b"a", b"c", b"b", b"a"]) == [[0, 2, 5], [1, 4]]
    assert identical_pictures(np.array([[1, 2], [3, 4], [1, 2]], np.uint8)) == [[0, 2]]


def test_resized_and_brightened_copies_in_another_part_are_found_and_strangers_are_not():
    images = [scene(seed) for seed in range(8)]
    copies = [scene(2).resize((70, 70)), scene(5, brightness=20)]
    found = list(near_duplicates(prints(*images, *copies), np.array([0] * 8 + [1] * 2)))
    assert [(pair.first, pair.second) for pair in found] == [(2, 8), (5, 9)]
    assert all(0 <= pair.distance <= 16 for pair in found)


def test_pairs_within_a_part_are_no_leak():
    same = prints(scene(1), scene(1), scene(1))
    assert [tuple(p) for p in near_duplicates(same, np.array([0, 0, 1]))] == [(0, 2, 0), (1, 2, 0)]


def test_all_pairs_are_compared_also_across_blocks_of_rows():
    noise = np.random.default_rng(0).integers(0, 256, (600, 32), dtype=np.uint8)
    noise[599] = noise[3]
    noise[599, 0] ^= 1
    assert [tuple(p) for p in near_duplicates(noise, np.arange(600))] == [(3, 599, 1)]
