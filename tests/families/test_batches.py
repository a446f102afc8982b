import numpy as np
import pytest

from tdgan_jax.families.batches import BATCH_SIZES, map_batches, slices


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 100])
def test_slices_cover_everything_once_with_little_padding(count):
    parts = list(slices(count))
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
    assert {part.batch_size for part in parts} <= set(BATCH_SIZES)
    assert sum(part.batch_size for part in parts) <= max(2 * count, 1)


def test_results_do_not_depend_on_the_batches():
    seen = set()

    def function(x, y, nothing):
        assert nothing is None
        seen.add(len(x))
        return x * 2 + y[:, None]

    x, y = np.arange(90, dtype=np.float32).reshape(45, 2), np.arange(45, dtype=np.float32)
    np.testing.assert_array_equal(map_batches(function, x, y, None), x * 2 + y[:, None])
    assert seen <= set(BATCH_SIZES)
    assert map_batches(function, x[:0], y[:0], None).shape == (0, 2)
