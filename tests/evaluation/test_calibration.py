import numpy as np
import pytest

from tdgan_jax.evaluation.calibration import fitted_temperature


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_factor_of_scores_is_found_again(factor):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20000, 5)) * 2
    noise = generator.gumbel(size=logits.shape)
    labels = (logits + noise).argmax(axis=1)  # drawn from the softmax of the logits
    assert fitted_temperature(labels, logits * factor) == pytest.approx(factor, rel=0.03)


def test_nothing_to_fit_is_refused():
    with pytest.raises(ValueError, match="needs examples"):
        fitted_temperature(np.zeros(0, int), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="finite scores"):
        fitted_temperature(np.zeros(1, int), np.full((1, 3), np.nan))
