"""How far expression and identity have come apart: every label probed from every feature.

Names of features: `expression` and `face` (of the two branches; the plain classifier has the first
alone) and `random`, the same architecture at its initialisation, never trained; those of IF-GAN
stand in `ifgan_features`. What a label's probe reaches means little by itself: a random encoder
tells people apart quite well, and no loss of TDGAN takes identity out of the expression feature
directly. What counts is the comparison, at matched accuracy of the expression.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from tdgan_jax.probing.divisions import Division, divide_by, divide_once, independent_groups
from tdgan_jax.probing.probes import PROBES, classification_probe, regression_probe

UNKNOWN = -1


class Labels(NamedTuple):
    """What is known of N examples.

    Attributes:
        expressions: int `[N]`; -1 where unknown: such examples are asked for their identity alone.
        identities: int `[N]`; -1 where unknown.
        subjects: text `[N]`, the person; something of its own where unknown.
        recordings: int `[N]`; equal for frames of a sequence and for copies of a picture.
        is_test: bool `[N]`: people whom no encoder has learned from. All true: probes of the
            expression and of the factors are cross-validated among them; otherwise they are fitted
            on the others.
        factors: float `[N, F]`; F may be 0.
        factor_names: Names of the F factors.
    """

    expressions: np.ndarray
    identities: np.ndarray
    subjects: np.ndarray
    recordings: np.ndarray
    is_test: np.ndarray
    factors: np.ndarray
    factor_names: tuple[str, ...]


# The matrices are small: where something else uses the cores, threads that wait for each other make
# a fit four to twelve times slower.
@threadpool_limits.wrap(limits=1)
def probe_matrix(features: Mapping[str, np.ndarray], labels: Labels) -> dict[str, Any]:
    """Probes every label from every feature.

    Expression and factors: subjects that the probe has not seen. Identity: people whom no encoder
    has learned from, the probe fitted on some expressions and tested on others; pictures without a
    known expression count as one more expression.

    Args:
        features: Name to float `[N, D]`.
        labels: Of the same N examples.

    Returns:
        By feature `expression` and `identity`, each by kind of probe (see `probes.ProbeResult`;
        `identity` is None where the dataset has no identities or no subject with two recordings),
        and `factors`, R^2 by name, None where a factor does not vary.

    Raises:
        UserError: If there are too few people or expressions to divide.
    """
    labelled = np.flatnonzero(labels.expressions != UNKNOWN)
    known = _selected(labels, labelled)
    groups = independent_groups(known.subjects, known.recordings)
    if known.is_test.all():
        divisions = divide_by(known.subjects, groups)
    else:
        divisions = divide_once(known.is_test, known.subjects, groups)
    return {
        name: {
            "expression": {
                kind: classification_probe(
                    values[labelled],
                    known.expressions,
                    divisions,
                    groups=groups,
                    subjects=known.subjects,
                    kind=kind,
                )._asdict()
                for kind in PROBES
            },
            "identity": _identity(values, labels),
            "factors": _factors(values[labelled], known, divisions, groups),
        }
        for name, values in features.items()
    }


def _selected(labels: Labels, rows: np.ndarray) -> Labels:
    arrays = {
        field: values[rows]
        for field, values in labels._asdict().items()
        if isinstance(values, np.ndarray)
    }
    return labels._replace(**arrays)


def _identity(features: np.ndarray, labels: Labels) -> dict[str, Any] | None:
    rows = np.flatnonzero(labels.is_test & (labels.identities != UNKNOWN))
    identities, recordings = labels.identities[rows], labels.recordings[rows]
    people, num_recordings = np.unique(
        np.unique(np.stack([identities, recordings]), axis=1)[0], return_counts=True
    )
    if len(people) < 2 or num_recordings.max() < 2:
        return None
    divisions = divide_by(labels.expressions[rows], recordings)
    return {
        kind: classification_probe(
            features[rows],
            identities,
            divisions,
            groups=recordings,
            subjects=labels.subjects[rows],
            kind=kind,
        )._asdict()
        for kind in PROBES
    }


def _factors(
    features: np.ndarray, labels: Labels, divisions: list[Division], groups: np.ndarray
) -> dict[str, float | None]:
    if not labels.factor_names:
        return {}
    explained = regression_probe(features, labels.factors, divisions, groups=groups)
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(labels.factor_names, explained, strict=True)
    }


def summary(matrix: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers that sum a probe matrix up.

    Returns:
        `information_gap`: of the expression feature alone, so that a classifier has it too;
        `random_information_gap`: the same of the random encoder, for comparison;
        `two_branch_information_gap`: of both features; None without a face feature;
        `identity_leakage`: by the linear probes; None without a face feature;
        `generated_information_gap`: of IF-GAN's drawn face, to be compared with that of the random
        encoder, which sees the input as it sees the drawn face;
        `generated_identity_leakage`: the share of the input's identity that the drawn face has, by
        the linear probes, as `identity_leakage`. Both are None without a drawn face.
        All are None without identities.
    """
    known = matrix["expression"]["identity"] is not None
    face, generated = matrix.get("face"), matrix.get("generated")
    gap = _gap(matrix["expression"], "expression", "identity") if known else None
    return {
        "information_gap": gap,
        "random_information_gap": _gap(matrix["random"], "expression", "identity")
        if known
        else None,
        "two_branch_information_gap": None
        if gap is None or face is None
        else (gap + _gap(face, "identity", "expression")) / 2,
        "identity_leakage": None
        if gap is None or face is None
        else identity_leakage(
            matrix["expression"]["identity"]["linear"], face["identity"]["linear"]
        ),
        "generated_information_gap": None
        if gap is None or generated is None
        else _gap(generated, "expression", "identity"),
        "generated_identity_leakage": None
        if gap is None or generated is None
        else identity_leakage(
            generated["identity"]["linear"], matrix["random"]["identity"]["linear"]
        ),
    }


def information(probes: Mapping[str, Mapping[str, Any]]) -> float:
    """The tightest of the probes' lower bounds of the mutual information, 0 to 1."""
    return max(probe["information"] for probe in probes.values())


def _gap(feature: Mapping[str, Any], own: str, other: str) -> float:
    """How much more a feature tells of its own label than of the other one: -1 to 1.

    `I(z; own) / H(own) - I(z; other) / H(other)`. The mean over both branches is the mutual
    information gap of Chen et al. 2018 (arXiv:1802.04942, equation 6) with two factors and two
    blocks of a code: per factor the information in its own block less that in the other one, the
    same four terms. Unlike there, the block of a factor is known by design, not the best one found,
    and the information in a whole block is bounded from below by probes, not counted in bins.

    Limits: a weak probe hides information, in both terms; identity's share depends on how many
    people are told apart and on how many pictures of each the probe has seen. Only figures of the
    same examples and probes are comparable.
    """
    return information(feature[own]) - information(feature[other])


def identity_leakage(
    from_feature: Mapping[str, Any], from_reference: Mapping[str, Any]
) -> float | None:
    """Share of a reference's identity, the face feature's, that another feature has as well.

    `(accuracy from the feature - chance) / (accuracy from the reference - chance)`: 0: none, 1: as
    much. Not bounded by 1, and of no meaning where the reference itself knows nobody: None at or
    below chance. It does not see whether the feature knows the expression.

    Args:
        from_feature: Probe result of the identity from the expression feature, or a drawn face.
        from_reference: The same probe's from the face feature, or the input of that face.
    """
    above_chance = from_reference["accuracy"] - from_reference["chance"]
    if above_chance <= 0:
        return None
    return (from_feature["accuracy"] - from_feature["chance"]) / above_chance
