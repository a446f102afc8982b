"""The table of IF-GAN's ablations."""

from benchmarks.ifgan_ablations import VARIANTS, page


def test_a_row_has_means_over_the_seeds_and_each_seed():
    whole = [
        {"accuracy": a, "input_shuffled": 0.25, "generated_shuffled": 0.5, "seconds": 60.0}
        for a in (0.5, 0.75)
    ]
    alone = [{"accuracy": 0.5, "seconds": 30.0}]
    figures = {"": whole, "without_attention": whole[:1], "baseline": alone}
    assert set(figures) == set(VARIANTS)
    *_, full, without, baseline = page(figures, "python script.py").splitlines()
    assert full == (
        "| IF-GAN | 0.625 ± 0.177 | 0.250 ± 0.000 | 0.500 ± 0.000 | 0.500, 0.750 | 60 |"
    )
    assert without.startswith("| IF-GAN without attention | 0.500 | 0.250 |")
    assert baseline.endswith("| 0.500 | none | none | 0.500 | 30 |")
