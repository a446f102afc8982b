import pytest

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.preparation import image_workers
from tdgan_jax.preparation.image_workers import Reading, read_images
from tdgan_jax.preparation.owners_boxes import OwnersBox
from tests.owners_files import picture

READING = Reading(channels=3)


def files(count: int):
    for number in range(count):
        yield number, b"" if number % 7 == 3 else picture(number)


def test_workers_give_what_this_process_gives_in_the_same_order():
    here = list(read_images(files(100), READING, num_images=100, num_workers=0))
    there = list(read_images(files(100), READING, num_images=100, num_workers=2))
    assert [item for item, _ in there] == list(range(100))
    for (_, ours), (_, theirs) in zip(here, there, strict=True):
        if isinstance(ours, BadImage):
            assert isinstance(theirs, BadImage) and str(theirs) == str(ours)
        else:
            assert theirs == ours


def test_workers_cut_faces_out_by_their_owner_s_boxes():
    boxes = {number: OwnersBox(number % 9, 1, 4, 6) for number in range(40)} | {5: None}
    reading = READING._replace(largest_side_px=5)
    pictures = [(number, picture(number)) for number in boxes]
    here, there = (
        list(read_images(pictures, reading, num_images=40, num_workers=workers, box_of=boxes.get))
        for workers in (0, 2)
    )
    assert isinstance(here[8][1], BadImage) and str(there[8][1]) == str(here[8][1])
    assert [one for one in here if one[0] % 9 != 8] == [one for one in there if one[0] % 9 != 8]
    assert [image.size_px for _, image in here[:7]] == [(3, 5)] * 5 + [(8, 8), (3, 5)]


def test_few_files_wait_in_memory_however_many_there_are():
    taken = []

    def endless():
        for number in range(10_000):
            taken.append(number)
            yield number, picture(1)

    results = read_images(endless(), READING, num_images=10_000, num_workers=2)
    next(results)
    assert len(taken) <= 200
    results.close()


def test_a_worker_that_dies_is_an_error_and_not_a_hang(monkeypatch):
    monkeypatch.setattr(image_workers.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="an image worker stopped early with exit code"):
        list(read_images(files(40), READING, num_images=40, num_workers=2))
