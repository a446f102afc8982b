"""Factors of a drawn face: who it is, what it expresses and how it was photographed.

Every factor is a pure function of integers: `(SEED, stream, identity, ...)` seed a fresh
`numpy.random.default_rng`, so an image can be drawn alone, in any order and in any process.
Lengths are in *face units*: one unit is about the distance from the middle of the face to the
chin, x points to the image's right and y points down. Action units (AU) are those of Ekman and
Friesen's Facial Action Coding System, from 0 (absent) to about 1 (as strong as it gets).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

SEED = 2021

ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 16, 17, 20, 23, 25, 26, 43)

# The prototype of each expression: action unit -> amplitude at intensity 1.
PROTOTYPES: dict[str, dict[int, float]] = {
    "anger": {4: 1.0, 5: 0.55, 7: 0.8, 23: 1.0},
    "disgust": {9: 1.0, 15: 0.6, 16: 0.8},
    "fear": {1: 0.9, 2: 0.55, 4: 0.75, 5: 1.0, 20: 1.0, 26: 0.45},
    "happiness": {6: 1.0, 12: 1.0},
    "neutral": {},
    "sadness": {1: 1.0, 4: 0.7, 15: 1.0},
    "surprise": {1: 1.0, 2: 1.0, 5: 0.9, 26: 1.0},
}

# Pleasure and arousal of the state that an expression shows, in [-1, 1]: where it stands in the
# circle of Russell 1980, "A Circumplex Model of Affect". The numbers are the mean ratings of
# Russell and Mehrabian 1977, "Evidence for a Three-Factor Theory of Emotions", Table 4 (angry,
# disgusted, fearful, happy, sad, surprised); neutral is the origin.
AFFECT: dict[str, tuple[float, float]] = {
    "anger": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happiness": (0.81, 0.51),
    "neutral": (0.0, 0.0),
    "sadness": (-0.63, -0.27),
    "surprise": (0.40, 0.67),
}

# Units that come along with some people and at some times: unit -> (probability, amplitude).
COMPANIONS: dict[str, dict[int, tuple[float, float]]] = {
    "anger": {10: (0.25, 0.4), 25: (0.2, 0.5), 17: (0.3, 0.6)},
    "disgust": {4: (0.5, 0.5), 7: (0.5, 0.5), 10: (0.7, 0.8), 25: (0.5, 0.5)},
    "fear": {25: (0.7, 0.5)},
    "happiness": {25: (0.65, 0.9), 26: (0.2, 0.3), 7: (0.3, 0.4)},
    "neutral": {},
    "sadness": {17: (0.5, 0.7), 43: (0.6, 0.35)},
    "surprise": {25: (0.5, 0.4)},
}

MIN_INTENSITY = 0.6
SPONTANEOUS = 0.08  # the largest amplitude of a unit that no expression asked for

# The integers that seed each kind of factor; they never overlap.
_IDENTITY_STREAM, _STYLE_STREAM, _EXPRESSION_STREAM, _NUISANCE_STREAM = range(4)
TEXTURE_STREAM = 4


class Identity(NamedTuple):
    """Who it is: everything that stays the same from one picture of a person to the next."""

    head_width: float  # half-width at the cheekbones
    jaw_width: float  # width of the jaw as a share of head_width
    jaw_squareness: float  # exponent of the lower outline: 2 is an ellipse
    chin: float  # y of the chin
    eye_spacing: float  # x of an eye's middle
    eye_y: float
    eye_width: float  # half-width
    eye_height: float  # half-height of the open eye
    eye_tilt: float  # outer corner raised (positive) or lowered
    iris_tone: float  # gray, 0 to 1
    brow_y: float  # distance of the brow above the eye
    brow_length: float
    brow_thickness: float
    brow_arch: float
    brow_slope: float  # outer end lowered (positive) or raised, at rest
    nose_length: float  # y of the tip
    nose_width: float
    nose_height: float  # how far it stands out
    mouth_y: float
    mouth_width: float  # half-width at rest
    mouth_curve: float  # corners at rest, positive is down
    upper_lip: float  # thickness
    lower_lip: float
    lip_tone: float  # gray of the lips as a share of the skin's
    cheek: float  # fullness
    ear_size: float
    skin_tone: float  # gray, 0 to 1
    freckles: float  # 0 to 1
    age: float  # 0 to 1: strength of permanent wrinkles
    hair_tone: float  # gray, 0 to 1
    hair_line: float  # y of the hairline in the middle
    hair_volume: float  # how far the hair stands out; below 0.02 the head is bald
    hair_length: float  # y down to which the hair falls at the sides
    hair_part: float  # x of the parting
    hair_fringe: float  # how far the fringe falls below the hairline
    hair_curl: float  # amplitude of the waves in the hair's outline
    glasses: float  # 0 none, otherwise the gray of the frame's darkness, 0.4 to 1
    glasses_roundness: float  # exponent of the rim: 2 is round
    beard: float  # 0 none to 1 full
    moustache: float
    clothes_tone: float


class Style(NamedTuple):
    """How a person expresses: gain of each action unit, and which side moves more."""

    gains: np.ndarray  # [len(ACTION_UNITS)]
    asymmetry: float  # share by which the right side of the image is stronger
    expressiveness: float  # shifts the intensity of all pictures of the person


class Expression(NamedTuple):
    """What the face does in one picture."""

    name: str
    intensity: float  # 0 for neutral, otherwise MIN_INTENSITY to 1
    asymmetry: float
    units: dict[int, float]  # every action unit -> amplitude


class Nuisance(NamedTuple):
    """How the picture was taken; none of it says anything about identity or expression."""

    yaw: float  # radians; positive turns the face to the image's right
    pitch: float  # radians; positive looks down
    roll: float  # radians; positive is clockwise
    scale: float  # half-widths of the image per face unit
    shift_x: float  # half-widths of the image
    shift_y: float
    light_azimuth: float  # radians from the camera; positive is from the image's right
    light_elevation: float  # radians above the camera
    ambient: float  # share of the light that has no direction
    exposure: float
    gamma: float
    background: float  # gray, 0 to 1
    background_slope_x: float
    background_slope_y: float
    gaze_x: float  # iris radii
    gaze_y: float
    blur: float  # standard deviation in pixels of a 128-pixel image
    noise: float  # standard deviation in gray, 0 to 1
    occlusion: float  # 0 none, otherwise the gray of what lies before the face, 0.05 to 0.95
    occlusion_angle: float  # radians: where it comes in from, 0 is from the image's right
    occlusion_reach: float  # distance of its tip from the image's middle, in half-widths
    occlusion_width: float  # half its width, in half-widths of the image


def _clipped_normal(rng: np.random.Generator, mean: float, deviation: float) -> float:
    return mean + deviation * float(np.clip(rng.standard_normal(), -2.0, 2.0))


def sample_identity(identity: int) -> Identity:
    """Draws the looks of a person.

    Args:
        identity: number of the person, from 0.

    Returns:
        The person's factors.
    """
    rng = np.random.default_rng([SEED, _IDENTITY_STREAM, identity])

    def normal(mean: float, deviation: float) -> float:
        return _clipped_normal(rng, mean, deviation)

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    skin_tone = uniform(0.36, 0.86)
    bald = chance(0.1)
    long_hair = not bald and chance(0.42)
    bearded = not long_hair and chance(0.35)
    # Hair is dark, except for some fair-skinned and some gray-haired people.
    hair_tone = uniform(0.04, 0.2)
    if skin_tone > 0.55 and chance(0.5):
        hair_tone = uniform(0.2, 0.75)
    return Identity(
        head_width=normal(0.74, 0.04),
        jaw_width=normal(0.76, 0.06),
        jaw_squareness=normal(2.3, 0.2),
        chin=normal(1.0, 0.045),
        eye_spacing=normal(0.325, 0.022),
        eye_y=normal(-0.12, 0.025),
        eye_width=normal(0.155, 0.012),
        eye_height=normal(0.066, 0.008),
        eye_tilt=normal(0.015, 0.015),
        iris_tone=uniform(0.08, 0.5),
        brow_y=normal(0.185, 0.02),
        brow_length=normal(0.34, 0.025),
        brow_thickness=normal(0.038, 0.01),
        brow_arch=normal(0.045, 0.018),
        brow_slope=normal(0.01, 0.018),
        nose_length=normal(0.27, 0.035),
        nose_width=normal(0.135, 0.018),
        nose_height=normal(0.2, 0.03),
        mouth_y=normal(0.56, 0.025),
        mouth_width=normal(0.265, 0.025),
        mouth_curve=normal(0.0, 0.016),
        upper_lip=normal(0.05, 0.012),
        lower_lip=normal(0.068, 0.015),
        lip_tone=uniform(0.58, 0.86),
        cheek=normal(0.5, 0.2),
        ear_size=normal(0.19, 0.025),
        skin_tone=skin_tone,
        freckles=uniform(0.2, 1.0) if chance(0.2) else 0.0,
        age=uniform(0.0, 0.9) ** 1.5,
        hair_tone=hair_tone,
        hair_line=normal(-0.66, 0.07),
        hair_volume=0.0 if bald else uniform(0.05, 0.2),
        hair_length=uniform(0.3, 1.3) if long_hair else uniform(-0.35, 0.0),
        hair_part=uniform(-0.45, 0.45),
        hair_fringe=uniform(0.1, 0.24) if chance(0.3) and not bald else uniform(-0.05, 0.03),
        hair_curl=uniform(0.02, 0.06) if chance(0.4) else uniform(0.0, 0.01),
        glasses=uniform(0.45, 1.0) if chance(0.22) else 0.0,
        glasses_roundness=uniform(2.0, 4.5),
        beard=uniform(0.25, 0.85) if bearded else 0.0,
        moustache=uniform(0.3, 0.9) if bearded and chance(0.7) else 0.0,
        clothes_tone=uniform(0.08, 0.85),
    )


def sample_style(identity: int) -> Style:
    """Draws a person's way of expressing.

    Args:
        identity: number of the person, from 0.

    Returns:
        Gains of the action units, in the order of `ACTION_UNITS`, and the asymmetry.
    """
    rng = np.random.default_rng([SEED, _STYLE_STREAM, identity])
    return Style(
        gains=rng.uniform(0.78, 1.12, len(ACTION_UNITS)),
        asymmetry=_clipped_normal(rng, 0.0, 0.07),
        expressiveness=float(rng.uniform(-0.08, 0.08)),
    )


def sample_expression(identity: int, name: str, sample: int) -> Expression:
    """Draws what the face does in one picture of a person.

    Args:
        identity: number of the person.
        name: expression, a key of `PROTOTYPES`.
        sample: number of the picture among those of the person with the expression.

    Returns:
        The amplitude of every action unit.

    Raises:
        ValueError: the name is not one of the expressions.
    """
    if name not in PROTOTYPES:
        raise ValueError(f"unknown expression {name!r}; known are {', '.join(PROTOTYPES)}")
    # The number of an expression is its alphabetical place: no label order changes a picture.
    number = sorted(PROTOTYPES).index(name)
    rng = np.random.default_rng([SEED, _EXPRESSION_STREAM, identity, number, sample])
    style = sample_style(identity)
    intensity = float(rng.uniform(MIN_INTENSITY + 0.05, 0.95)) + style.expressiveness
    intensity = float(np.clip(intensity, MIN_INTENSITY, 1.0)) if name != "neutral" else 0.0
    wanted = dict(PROTOTYPES[name])
    for unit, (probability, amplitude) in COMPANIONS[name].items():
        if rng.random() < probability:
            wanted[unit] = amplitude
    units = {}
    for unit, gain in zip(ACTION_UNITS, style.gains, strict=True):
        jitter, spontaneous = rng.uniform(0.88, 1.1), rng.uniform(0.0, SPONTANEOUS)
        amplitude = wanted.get(unit, 0.0) * intensity * gain * jitter
        units[unit] = float(min(max(amplitude, spontaneous), 1.15))
    asymmetry = style.asymmetry + _clipped_normal(rng, 0.0, 0.04)
    return Expression(name, intensity, asymmetry, units)


def affect(expression: Expression) -> tuple[float, float]:
    """Valence and arousal of an expression: its place in the circle times its intensity.

    Args:
        expression: what the face does.

    Returns:
        Both in [-1, 1].
    """
    valence, arousal = AFFECT[expression.name]
    return valence * expression.intensity, arousal * expression.intensity


def sample_nuisance(identity: int, name: str, sample: int) -> Nuisance:
    """Draws how one picture was taken.

    Args:
        identity: number of the person.
        name: expression, a key of `PROTOTYPES`; it only seeds the draw.
        sample: number of the picture among those of the person with the expression.

    Returns:
        Pose, light, place, background, sharpness and occlusion.
    """
    number = sorted(PROTOTYPES).index(name)
    rng = np.random.default_rng([SEED, _NUISANCE_STREAM, identity, number, sample])

    def normal(mean: float, deviation: float) -> float:
        return _clipped_normal(rng, mean, deviation)

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    return Nuisance(
        yaw=normal(0.0, 0.24),
        pitch=normal(0.0, 0.12),
        roll=normal(0.0, 0.12),
        scale=uniform(0.76, 1.02),
        shift_x=normal(0.0, 0.055),
        shift_y=normal(0.0, 0.055),
        light_azimuth=normal(0.0, 0.65),
        light_elevation=normal(0.45, 0.25),
        ambient=uniform(0.3, 0.55),
        exposure=uniform(0.85, 1.25),
        gamma=uniform(0.8, 1.25),
        background=uniform(0.05, 0.95),
        background_slope_x=normal(0.0, 0.12),
        background_slope_y=normal(0.0, 0.12),
        gaze_x=normal(0.0, 0.3),
        gaze_y=normal(0.0, 0.12),
        blur=uniform(0.0, 1.0) ** 2 * 1.5,
        noise=uniform(0.0, 1.0) ** 2 * 0.04,
        occlusion=uniform(0.05, 0.95) if rng.random() < 0.12 else 0.0,
        occlusion_angle=uniform(-np.pi, np.pi),
        occlusion_reach=uniform(0.3, 0.6),
        occlusion_width=uniform(0.1, 0.2),
    )


FACTOR_NAMES: tuple[str, ...] = (
    *(f"identity/{field}" for field in Identity._fields),
    *(f"style/gain_au{unit:02d}" for unit in ACTION_UNITS),
    "style/asymmetry",
    "style/expressiveness",
    "expression/intensity",
    "expression/asymmetry",
    *(f"expression/au{unit:02d}" for unit in ACTION_UNITS),
    *(f"nuisance/{field}" for field in Nuisance._fields),
)


def factor_values(
    identity: Identity, style: Style, expression: Expression, nuisance: Nuisance
) -> np.ndarray:
    """Lays all factors of one picture into a vector.

    Args:
        identity: the person's looks.
        style: the person's way of expressing.
        expression: what the face does.
        nuisance: how the picture was taken.

    Returns:
        float32 `[len(FACTOR_NAMES)]`, in the order of `FACTOR_NAMES`.
    """
    values = (
        *identity,
        *style.gains,
        style.asymmetry,
        style.expressiveness,
        expression.intensity,
        expression.asymmetry,
        *(expression.units[unit] for unit in ACTION_UNITS),
        *nuisance,
    )
    return np.asarray(values, np.float32)


class Split(NamedTuple):
    """Which people and how many pictures of each expression a split holds."""

    identities: range
    images_per_expression: int


# Disjoint by person: the expression branch learns from `train`, the face branch from `faces`.
SPLITS: dict[str, Split] = {
    "train": Split(range(0, 80), 8),
    "test": Split(range(80, 100), 5),
    "faces": Split(range(100, 132), 8),
}
NUM_IDENTITIES = 132


class Picture(NamedTuple):
    """The integers that one picture is a function of."""

    identity: int
    expression: str
    sample: int


def pictures(split: str) -> Iterator[Picture]:
    """Lists the pictures of a split.

    Args:
        split: a key of `SPLITS`.

    Yields:
        The pictures, by person, expression (alphabetically) and number.
    """
    for identity in SPLITS[split].identities:
        for name in sorted(PROTOTYPES):
            for sample in range(SPLITS[split].images_per_expression):
                yield Picture(identity, name, sample)
