"""Two training steps: every golden number of section 9.3."""

from collections.abc import Iterator
from functools import cache

import pytest

from tests.families.emotion_gcn.emotion_networks import filled_model
from tests.families.emotion_gcn.golden_training import Figures, our_steps, twin_steps

SIZES_PX = {"densenet": 227, "bregnext": 112}
LOSSES = {
    "densenet": ((3.614736, 0.9431762, 4.557912), (1.390391, 0.930377, 2.320768)),
    "bregnext": ((2.193871, 1.061545, 3.255415), (2.130126, 0.5780452, 2.708171)),
}
GRADIENT_NORMS = {
    "densenet": ((496.2186, 45.54577, 63.36385), (225.6129, 26.53271, 35.78472)),
    "bregnext": ((30.69653, 3.012759, 1.498214), (9.606292, 4.538557, 1.97854)),
}
SUMS = {
    "densenet": (41788.2251, 6.16210641, -17.7935346),
    "bregnext": (3605.03778, -4.44198019, 7.74063816),
}
CHANGES = {
    "densenet": (2.2649, 0.025548, -2.3369),
    "bregnext": (-0.028022, 0.0043483, -0.12423),
}
MEAN_SUMS = {
    "densenet": (-4.21294215, 38.0807728),
    "bregnext": (1.02717344, -2.22601134),
}
VARIANCE_SUMS = {
    "densenet": (41846.8195, 38736.4996),
    "bregnext": (3674.07722, 3566.90257),
}


class Agreement:
    """Relative tolerances; the defaults are those that the spec expects of float32."""

    first_losses = 1e-5
    first_norms = 1e-4
    first_change = 1e-2
    second_losses = 2e-3
    second_norms = 5e-3


class OfDenseNet(Agreement):
    """The steps of 121 layers on four images amplify the last bit of their input.

    The twin in float32 itself is off by up to 5e-3 in the second norm and 1e-2 in the change, which
    is what is left of seven million summands, and by other amounts with another number of threads.
    """

    first_change = 2e-2
    second_norms = 1.5e-2


class Exact(Agreement):
    """float64: what the spec prints."""

    first_losses = second_losses = first_norms = second_norms = 1e-6
    first_change = 3e-5


@cache
def model_of(backbone: str):
    return filled_model(backbone=backbone, image_size_px=SIZES_PX[backbone])


def check(backbone: str, steps: list[Figures], agreement: type[Agreement]) -> None:
    """Compares one step or both with the table."""
    first = steps[0]
    assert first[:3] == pytest.approx(LOSSES[backbone][0], rel=agreement.first_losses)
    norms = GRADIENT_NORMS[backbone]
    assert first.gradient_norms == pytest.approx(norms[0], rel=agreement.first_norms)
    assert first.sums_before == pytest.approx(SUMS[backbone], rel=1e-6)
    assert first.changes == pytest.approx(CHANGES[backbone], rel=agreement.first_change)
    assert first.mean_sums == pytest.approx(MEAN_SUMS[backbone], rel=1e-5)
    assert first.variance_sums == pytest.approx(VARIANCE_SUMS[backbone], rel=1e-6)
    for second in steps[1:]:
        assert second[:3] == pytest.approx(LOSSES[backbone][1], rel=agreement.second_losses)
        assert second.gradient_norms == pytest.approx(norms[1], rel=agreement.second_norms)


@pytest.mark.parametrize(
    ("backbone", "agreement"), [("densenet", OfDenseNet), ("bregnext", Agreement)]
)
def test_our_steps(backbone, agreement):
    check(backbone, list(our_steps(model_of(backbone), SIZES_PX[backbone])), agreement)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Of PyTorch, whose threads wait busily for each other."""
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# The second step in float64 meets the table too; it is left out for the time that it takes.
@pytest.mark.parametrize(
    ("backbone", "dtype", "num_steps", "agreement"),
    [("densenet", "float64", 1, Exact), ("bregnext", "float32", 2, Agreement)],
)
@pytest.mark.usefixtures("one_thread")
def test_the_twins_steps(backbone, dtype, num_steps, agreement):
    steps = twin_steps(model_of(backbone), backbone, SIZES_PX[backbone], dtype)
    check(backbone, [next(steps) for _ in range(num_steps)], agreement)
