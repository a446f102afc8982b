"""Draws a face from its factors: a height map and a gray albedo, lit from one direction.

Every part of the face is a function of the coordinates (x, y) of a frontal face, in face units
(see `factors`). Pose is put in by asking, for each pixel, which point of the frontal face it
shows. Parts add to the height map or paint the albedo; the light then does the rest: the light's
direction decides what a wrinkle or a raised cheek looks like. Every edge
is drawn with its share of the pixel, so nothing needs to be drawn larger than it is stored; small
pictures are averages of large ones. All arrays are float32.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_builders.synthetic_faces.factors import (
    SEED,
    TEXTURE_STREAM,
    Expression,
    Identity,
    Nuisance,
)

DRAWN_SIZE_PX = 128  # every picture is drawn in this size; smaller ones are averages of it
_HEAD_DEPTH = 0.62  # how far the middle of the face stands before the head's edge
_SIDES = (-1, 1)  # image left, image right


class _Paper(NamedTuple):
    """A part of the picture that is being drawn; slices share memory with the whole."""

    x: np.ndarray
    y: np.ndarray
    albedo: np.ndarray
    height: np.ndarray
    pixel: float  # size of a pixel in face units

    def window(self, x0: float, x1: float, y0: float, y1: float) -> "_Paper":
        """The smallest rectangle of pixels that shows x0 to x1 (in any order) and y0 to y1."""
        step = 4
        x0, x1 = min(x0, x1), max(x0, x1)
        x, y = self.x[::step, ::step], self.y[::step, ::step]
        margin = step * self.pixel * 1.5
        inside = (x > x0 - margin) & (x < x1 + margin) & (y > y0 - margin) & (y < y1 + margin)
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not len(rows):
            return self._cut(slice(0), slice(0))
        return self._cut(
            slice(rows[0] * step, (rows[-1] + 1) * step),
            slice(columns[0] * step, (columns[-1] + 1) * step),
        )

    def _cut(self, rows: slice, columns: slice) -> "_Paper":
        x, y, albedo, height = (
            array[rows, columns] for array in (self.x, self.y, self.albedo, self.height)
        )
        return _Paper(x, y, albedo, height, self.pixel)

    def cover(self, distance: np.ndarray, softness: float = 0.0) -> np.ndarray:
        """Share of a pixel that lies inside, from the signed distance to the edge."""
        return np.clip(distance / (self.pixel + softness) + 0.5, 0.0, 1.0)

    def paint(self, mask: np.ndarray, tone: np.ndarray | float) -> None:
        """Puts a tone where the mask is 1."""
        self.albedo[...] += mask * (tone - self.albedo)

    def shade(self, mask: np.ndarray, strength: float) -> None:
        """Darkens (or with a negative strength lightens) where the mask is 1."""
        self.albedo[...] *= 1.0 - strength * mask


class _Mouth(NamedTuple):
    """Where the lips are in one picture, as functions of a point's x."""

    y: float
    width: float
    corner: tuple[float, float]  # how far each corner lies below the middle
    up: float  # how far the upper lip is raised
    down: float  # how far the lower lip is lowered
    upper_lip: float
    lower_lip: float

    def line(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The place along the mouth, -1 to 1, and the y of the closed mouth there."""
        along = x / self.width
        size = np.minimum(np.abs(along), 1.25)
        left, right = (np.float32(corner) for corner in self.corner)
        corner = np.where(x < 0, left, right)
        return along, self.y + corner * (size**1.7 - 0.3)


def _bell(distance: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """A smooth bump of height 1 that ends at two and a half widths; cheaper than a Gaussian."""
    scaled = distance * (0.4 / width)
    inside = np.maximum(0.0, 1.0 - scaled * scaled)
    return inside * inside * inside  # ten times faster than ** 3


def _distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)  # five times faster than np.hypot


def _smooth_step(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _by_side(expression: Expression, side: int) -> dict[int, float]:
    """The action units of one half of the face."""
    gain = 1.0 + side * expression.asymmetry
    return {unit: amplitude * gain for unit, amplitude in expression.units.items()}


def _jaw_drop(expression: Expression) -> float:
    return 0.13 * expression.units[26] + 0.01 * expression.units[25]


def _head_radius(x: np.ndarray, y: np.ndarray, identity: Identity, chin: float) -> np.ndarray:
    """1 on the outline of the head, less inside."""
    lower = np.clip(y / chin, 0.0, 1.3)
    narrowing = (1.0 - identity.jaw_width) * _smooth_step((lower - 0.05) / 1.1)
    across = np.abs(x) / (identity.head_width * (1.0 - narrowing))
    top = np.abs(y) / np.where(y < 0, np.float32(1.12), np.float32(chin))
    exponent = np.where(y < 0, np.float32(2.2), np.float32(identity.jaw_squareness))
    return (across**exponent + top**exponent) ** (1.0 / exponent)


def _frontal_coordinates(
    u: np.ndarray, v: np.ndarray, identity: Identity, nuisance: Nuisance
) -> tuple[np.ndarray, np.ndarray]:
    """The point of the frontal face that each point of the picture shows.

    A point's depth depends on the point, so the answer is found by iteration; the depth used is
    smooth and shallow enough for three rounds.
    """
    cos_roll, sin_roll = math.cos(nuisance.roll), math.sin(nuisance.roll)
    across = (u * cos_roll + v * sin_roll) / nuisance.scale
    down = (-u * sin_roll + v * cos_roll) / nuisance.scale
    cos_yaw, sin_yaw = math.cos(nuisance.yaw), math.sin(nuisance.yaw)
    cos_pitch, sin_pitch = math.cos(nuisance.pitch), math.sin(nuisance.pitch)
    x, y = across, down
    for _ in range(3):
        radius_squared = np.minimum((x / identity.head_width) ** 2 + y**2, 1.7)
        depth = _HEAD_DEPTH * (0.6 - radius_squared)
        depth += identity.nose_height * _bell(x, 0.11) * _bell(y - identity.nose_length, 0.13)
        x = (across - depth * sin_yaw) / cos_yaw
        y = (down - depth * sin_pitch) / cos_pitch
    return x, y


def _draw_body(
    paper: _Paper, u: np.ndarray, v: np.ndarray, identity: Identity, nuisance: Nuisance
) -> None:
    """Background, shoulders, neck and the hair behind the head."""
    light = nuisance.background + nuisance.background_slope_x * u + nuisance.background_slope_y * v
    paper.albedo[...] = np.clip(light, 0.02, 0.98)
    if identity.hair_length > 0.1:
        wave = identity.hair_curl * np.sin(14.0 * paper.y + 3.0 * np.sign(paper.x))
        width = identity.head_width + 0.35 * identity.hair_volume + 0.1 + wave
        width = width - 0.12 * np.maximum(0.0, paper.y)
        inside = np.minimum(width - np.abs(paper.x), identity.hair_length - paper.y)
        inside = np.where(paper.y < -0.3, -1.0, inside)
        strands = 0.85 + 0.15 * np.sin(46.0 * paper.x + 2.0 * np.sin(5.0 * paper.y))
        paper.paint(paper.cover(inside, 0.03), identity.hair_tone * 0.8 * strands)
    x, y = u / nuisance.scale, v / nuisance.scale
    neck = 0.62 * identity.jaw_width * identity.head_width
    neck_width = neck + 0.5 * np.maximum(0.0, y - 1.12) ** 2
    mask = paper.cover(np.minimum(neck_width - np.abs(x), y - 0.5), 0.02)
    shadow = 0.45 + 0.35 * _smooth_step((y - 0.95) / 0.5) - 0.25 * (x / neck) ** 2
    paper.paint(mask, identity.skin_tone * np.maximum(shadow, 0.1))
    shoulder = y - (1.2 + 0.18 * x**2) + 0.3 * np.maximum(0.0, 0.3 - np.abs(x)) * -1.0
    paper.paint(paper.cover(shoulder), identity.clothes_tone * (1.0 - 0.25 * np.abs(x)))


def _draw_ears(paper: _Paper, identity: Identity) -> None:
    size = identity.ear_size
    for side in _SIDES:
        middle = side * (identity.head_width + 0.12 * size)
        part = paper.window(middle - size, middle + size, -0.3, 0.4)
        x, y = (part.x - middle) / (0.5 * size), (part.y - 0.04) / size
        radius = np.sqrt(x**2 + y**2)
        part.paint(part.cover((1.0 - radius) * 0.5 * size), identity.skin_tone * 0.92)
        part.shade(_bell(radius - 0.2, 0.2), 0.35)
        part.shade(_bell(radius - 0.95, 0.1), 0.15)


def _draw_skin(
    paper: _Paper, identity: Identity, expression: Expression, key: np.random.Generator
) -> None:
    """The bare head: tone, and the bumps that do not move much."""
    x, y, height = paper.x, paper.y, paper.height
    tone = identity.skin_tone * (1.0 + 0.03 * np.sin(5.0 * x + 1.0) * np.sin(4.0 * y))
    paper.albedo[...] = tone
    # Temples and the hollow of the cheek recede; the chin and the brow ridge stand out.
    height -= 0.03 * _bell(np.abs(x) - 0.72, 0.16) * _bell(y + 0.35, 0.25)
    chin = identity.chin + _jaw_drop(expression) - 0.14
    part = paper.window(-0.35, 0.35, chin - 0.23, chin + 0.23)
    part.height[...] += 0.05 * _bell(part.x, 0.14) * _bell(part.y - chin, 0.09)
    for side in _SIDES:
        units = _by_side(expression, side)
        raised = 0.07 * units[6] + 0.03 * units[12]
        fullness = 0.035 + 0.03 * identity.cheek + 0.06 * units[6] + 0.035 * units[12]
        middle = side * 0.43
        part = paper.window(middle - 0.38, middle + 0.38, -0.15, 0.53)
        cheek = _bell(part.x - middle, 0.15) * _bell(part.y - 0.24 + raised, 0.115)
        part.height[...] += fullness * cheek
        if identity.freckles:
            part = paper.window(side * 0.4 - 0.3, side * 0.4 + 0.3, 0.0, 0.4)
            for _ in range(int(14 * identity.freckles)):
                fx = side * 0.38 + 0.1 * key.standard_normal()
                fy = 0.2 + 0.07 * key.standard_normal()
                spot = _bell(_distance(part.x - fx, part.y - fy), 0.012)
                part.shade(spot, 0.35)


def _draw_forehead(paper: _Paper, identity: Identity, expression: Expression) -> None:
    """Wrinkles of the raised brow (AU1, AU2) and of the frown (AU4)."""
    inner, outer = expression.units[1], expression.units[2]
    frown = expression.units[4]
    part = paper.window(-0.6, 0.6, -0.75, -0.3)
    x, y = part.x, part.y
    across = _bell(x, 0.1) * inner + np.maximum(
        np.minimum(outer, 1.0) * _bell(x, 0.23), 0.5 * identity.age * _bell(x, 0.2)
    )
    across = np.minimum(across, 1.0)
    for number, place in enumerate((-0.42, -0.5, -0.58)):
        lift = 0.04 * inner * _bell(x, 0.12) * (1.0 - outer)
        crease = _bell(y - place - lift - 0.015 * np.sin(5.0 * x + number), 0.012) * across
        part.height[...] -= 0.016 * crease
        part.shade(crease, 0.16)
    part = paper.window(-0.15, 0.15, -0.45, -0.05)
    x, y = part.x, part.y
    strength = max(frown, 0.4 * identity.age)
    for side in _SIDES:
        crease = _bell(x - side * (0.045 + 0.05 * (y + 0.25)), 0.011) * _bell(y + 0.24, 0.055)
        part.height[...] -= 0.02 * strength * crease
        part.shade(crease, 0.3 * strength)
    part.height[...] += 0.02 * frown * _bell(x, 0.05) * _bell(y + 0.22, 0.06)


def _draw_nose(paper: _Paper, identity: Identity, expression: Expression) -> None:
    wrinkle = expression.units[9]
    tip, half = identity.nose_length, identity.nose_width
    part = paper.window(-0.4, 0.4, -0.35, tip + 0.3)
    x, y = part.x, part.y
    along = np.clip((y + 0.15) / (tip + 0.15), 0.0, 1.0)
    ridge = _bell(x, 0.05 + 0.03 * along) * _smooth_step((y + 0.3) / (tip + 0.25))
    ridge = ridge * _smooth_step((tip + 0.1 - y) / 0.11)
    part.height[...] += identity.nose_height * (0.25 + 0.5 * along) * ridge
    ball = _bell(_distance(x, y - tip + 0.01), 0.065)
    part.height[...] += 0.35 * identity.nose_height * ball
    wings = tip + 0.02 - 0.045 * wrinkle
    for side in _SIDES:
        dx = x - side * 0.78 * half
        wing = _bell(_distance(dx, (y - wings) * 1.1), 0.042 * half / 0.135)
        part.height[...] += 0.06 * (1.0 + 0.3 * wrinkle) * wing
        fold = _bell(_distance(dx - side * 0.05, (y - wings) * 0.8) - 0.02, 0.014)
        part.shade(fold * (x * side > 0.7 * half), 0.25)
        dx = x - side * 0.45 * half
        hole = _distance(dx / (0.25 * half), (y - wings - 0.045 - side * 0.1 * dx) / 0.018)
        part.shade(part.cover((1.0 - hole) * 0.02, 0.012), 0.75)
    part.shade(_bell(x, 0.07) * _bell(y - tip - 0.085, 0.02), 0.18)
    if wrinkle > 0.1:
        # Wrinkles run from the bridge down and outwards on both sides.
        size = np.abs(x)
        for place in (-0.11, -0.04, 0.03):
            crease = _bell(y - place - 0.6 * size, 0.015) * _bell(size - 0.07, 0.04)
            part.height[...] -= 0.016 * wrinkle * crease
            part.shade(crease, 0.2 * wrinkle)


def _draw_folds(paper: _Paper, identity: Identity, expression: Expression, mouth: _Mouth) -> None:
    """Nasolabial folds, the bag below the eye and crow's feet."""
    for side in _SIDES:
        units = _by_side(expression, side)
        part = paper.window(side * 0.08, side * 0.62, identity.nose_length - 0.15, mouth.y + 0.2)
        x, y = part.x * side, part.y
        top = identity.nose_length - 0.05 - 0.05 * units[9]
        bottom = mouth.y + 0.06 - 0.05 * units[12]
        along = (y - top) / (bottom - top)
        start = identity.nose_width + 0.03
        end = mouth.width + 0.065 + 0.02 * units[12]
        place = start + (end - start) * np.clip(along, 0.0, 1.1) ** (0.8 - 0.15 * units[12])
        ends = _smooth_step(along / 0.2) * _smooth_step((1.08 - along) / 0.35)
        strength = max(0.4 * identity.age, units[12], 0.75 * units[9], 0.7 * units[10])
        strength = min(0.1 + strength, 1.0)
        crease = _bell(x - place, 0.02) * ends
        part.height[...] -= 0.022 * strength * crease
        part.height[...] += 0.025 * strength * _bell(x - place - 0.07, 0.04) * ends
        part.shade(crease, 0.24 * strength)

        eye = identity.eye_spacing
        part = paper.window(side * 0.1, side * 0.75, -0.35, 0.2)
        x, y = part.x * side, part.y
        bag = y - identity.eye_y - 0.115 + 0.03 * units[6] + 0.35 * (x - eye) ** 2
        strength = min(0.25 * identity.age + 0.75 * units[6] + 0.25 * units[9], 1.0)
        crease = _bell(bag, 0.014) * _bell(x - eye, 0.085)
        part.height[...] -= 0.018 * strength * crease
        part.shade(crease, 0.2 * strength)
        feet = 0.9 * units[6] + 0.3 * identity.age
        for slope in (-0.45, -0.05, 0.35):
            corner = eye + identity.eye_width + 0.05
            crease = _bell(y - identity.eye_y - slope * (x - corner + 0.03), 0.009)
            crease = crease * _bell(x - corner - 0.045, 0.025)
            part.height[...] -= 0.012 * feet * crease
            part.shade(crease, 0.24 * feet)


def _draw_eyes(
    paper: _Paper, identity: Identity, expression: Expression, nuisance: Nuisance
) -> None:
    """Sockets, lids (AU5, 6, 7, 43), sclera, iris and lashes."""
    skin = identity.skin_tone
    for side in _SIDES:
        units = _by_side(expression, side)
        middle = side * identity.eye_spacing
        part = paper.window(middle - 0.3, middle + 0.3, -0.45, 0.15)
        half = identity.eye_width
        x, y = (part.x - middle) * side, part.y - identity.eye_y
        y = y + identity.eye_tilt * x / half
        part.height[...] -= 0.05 * _bell(x + 0.02, 0.12) * _bell(y + 0.05, 0.07)
        part.height[...] += 0.035 * _bell(x, 0.09) * _bell(y, 0.05)
        part.shade(_bell(x + 0.06, 0.1) * _bell(y + 0.04, 0.06), 0.12)

        opening = 1.0 + 0.62 * units[5] - 0.4 * units[7] - 0.3 * units[6] - 0.9 * units[43]
        opening -= 0.3 * units[9]
        upper = identity.eye_height * max(opening, 0.12)
        lower_open = 0.55 + 0.12 * units[5] - 0.5 * units[7] - 0.62 * units[6] - 0.3 * units[9]
        lower = identity.eye_height * max(lower_open, -0.2)
        along = np.clip(np.abs(x) / half, 0.0, 1.0)
        upper_lid = -upper * (1.0 - along**2) ** 0.75
        lower_lid = lower * (1.0 - along**2)
        inside = np.minimum(y - upper_lid, lower_lid - y)
        inside = np.minimum(inside, half - np.abs(x))
        open_mask = part.cover(inside, 0.004)

        gaze_x, gaze_y = nuisance.gaze_x * side * 0.09, nuisance.gaze_y * 0.09
        radius = _distance(x - gaze_x, y + 0.008 - gaze_y)
        ball = 0.9 - 0.35 * along**2 - 0.3 * _bell(y - upper_lid, 0.016)
        ball *= 0.78 + 0.22 * skin
        iris = 0.5 * identity.iris_tone + 2.2 * identity.iris_tone * (radius / 0.08) ** 2 * 0.5
        iris = np.where(radius > 0.068, 0.05, np.clip(iris, 0.05, 0.5))
        ball += part.cover(0.078 - radius, 0.008) * (iris - ball)
        ball *= 1.0 - part.cover(0.033 - radius)
        glint = _distance(x * side - gaze_x * side - 0.025, y + 0.035 - gaze_y)
        ball += part.cover(0.016 - glint) * (0.95 - ball)
        # The eyeball is not lit like the skin: what is painted here is undone by no shadow.
        part.paint(open_mask, ball)

        ends = np.abs(x) < half + 0.012
        lash = _bell(y - upper_lid + 0.004, 0.0115) * ends
        part.shade(lash, 0.82)
        part.shade(_bell(y - lower_lid, 0.008) * ends * (x > -0.8 * half), 0.32)
        # The crease of the upper lid hides under the raised lid and under the lowered brow.
        fold = y - upper_lid * (0.7 + 0.3 * along) + 0.042 - 0.018 * units[5]
        part.shade(_bell(fold, 0.009) * (np.abs(x) < half), 0.33 * (1.0 - 0.4 * units[4]))
        part.shade(_bell(y - lower_lid - 0.05, 0.02) * (np.abs(x) < half), 0.07)


def _draw_brows(paper: _Paper, identity: Identity, expression: Expression) -> None:
    """Brows: raised inside (AU1), raised outside (AU2), lowered and drawn together (AU4)."""
    hair_tone = min(identity.hair_tone, 0.75 * identity.skin_tone)
    tone = 0.25 * identity.skin_tone + 0.6 * hair_tone
    for side in _SIDES:
        units = _by_side(expression, side)
        rest = identity.eye_y - identity.brow_y
        lowering = 1.25 * units[4] * (1.0 - 0.75 * min(units[1], 1.0))
        start = identity.eye_spacing - 0.21 - 0.06 * units[4]
        inner = rest + 0.02 - 0.135 * units[1] + 0.13 * lowering + 0.05 * units[9]
        middle = rest - identity.brow_arch - 0.055 * units[1] - 0.1 * units[2]
        middle += 0.085 * lowering + 0.03 * units[9] - 0.02 * units[5]
        outer = rest + 0.02 + identity.brow_slope + 0.01 * units[1] - 0.095 * units[2]
        outer += 0.025 * units[4]
        part = paper.window(side * start, side * (start + identity.brow_length), -0.62, -0.05)
        x, y = part.x * side, part.y
        along = (x - start) / identity.brow_length
        t = np.clip(along, 0.0, 1.0)
        # The parabola through the inner end, the arch at 0.6 and the outer end.
        bend = (middle - inner - 0.6 * (outer - inner)) / (0.6 * (0.6 - 1.0))
        curve = inner + (outer - inner) * t + bend * t * (t - 1.0)
        thickness = identity.brow_thickness * (1.0 - 0.72 * t**2) * (0.75 + 0.8 * np.sqrt(t)) / 1.2
        thickness = np.minimum(thickness, identity.brow_thickness)
        ends = np.minimum(along, 1.0 - along) * identity.brow_length
        mask = part.cover(np.minimum(thickness - np.abs(y - curve), ends + 0.01), 0.02)
        part.height[...] += 0.025 * _bell(y - curve, 0.035) * _bell(along - 0.45, 0.3)
        hairs = 0.95 + 0.06 * np.sin(110.0 * x + 60.0 * y)
        part.paint(0.92 * mask * hairs, tone)


def _place_mouth(identity: Identity, expression: Expression) -> _Mouth:
    """Turns the action units of the lower face into the places of the lips."""
    units = expression.units
    smile, frown, stretch, tight = units[12], units[15], units[20], units[23]
    jaw, part = units[26], units[25]
    rounding = jaw * max(0.0, 1.0 - stretch - smile)
    width = identity.mouth_width * (
        1.0 + 0.3 * smile + 0.3 * stretch - 0.14 * tight - 0.34 * rounding - 0.03 * frown
    )
    corners = []
    for side in _SIDES:
        own = _by_side(expression, side)
        corner = identity.mouth_curve - 0.135 * own[12] + 0.12 * own[15]
        corner += 0.035 * own[20] + 0.035 * own[23] + 0.02 * own[17] - 0.03 * own[10]
        corners.append(corner)
    thinning = 1.0 - 0.55 * tight - 0.18 * smile - 0.2 * stretch
    up = 0.012 * part + 0.03 * stretch * jaw + 0.085 * rounding + 0.03 * smile * part
    up += 0.035 * units[10] + 0.03 * units[9]
    down = 0.045 * part + 0.2 * jaw + 0.04 * stretch * jaw + 0.075 * units[16]
    closed = units[25] + units[26] + units[16] + units[10] < 0.3
    if closed:
        up, down = 0.0, 0.012 * max(jaw, part) / 0.1
    y = identity.mouth_y - 0.012 * smile - 0.015 * units[17] - 0.025 * units[9] + 0.045 * rounding
    lower_lip = identity.lower_lip * (thinning + 0.2 * units[16] + 0.15 * units[17])
    upper_lip = identity.upper_lip * (thinning - 0.25 * units[10] * 0.5)
    return _Mouth(y, width, (corners[0], corners[1]), up, down, upper_lip, lower_lip)


def _draw_mouth(paper: _Paper, identity: Identity, expression: Expression, mouth: _Mouth) -> None:
    """Lips, the dark of the open mouth, teeth and tongue."""
    units = expression.units
    reach = mouth.width * 1.3
    part = paper.window(-reach, reach, mouth.y - 0.3, mouth.y + 0.5)
    x, y = part.x, part.y
    along, line = mouth.line(x)
    inside = np.maximum(0.0, 1.0 - along**2)
    gap = inside ** (0.62 - 0.12 * min(units[26], 1.0))
    top, bottom = line - mouth.up * gap, line + mouth.down * gap
    bow = 1.0 - 0.22 * _bell(along, 0.09) + 0.1 * _bell(np.abs(along) - 0.25, 0.1)
    upper_edge = top - mouth.upper_lip * inside**0.8 * bow
    lower_edge = bottom + mouth.lower_lip * inside**0.65

    lips = np.minimum(y - upper_edge, lower_edge - y)
    tone = identity.skin_tone * identity.lip_tone
    upper_half = part.cover(line - y, 0.02)
    part.paint(part.cover(lips, 0.012) * (inside > 0), tone * (1.0 - 0.14 * upper_half))
    middle = 0.5 * (bottom + lower_edge)
    part.height[...] += 0.035 * _bell(y - middle, 0.45 * mouth.lower_lip) * gap
    middle = 0.5 * (top + upper_edge)
    part.height[...] += 0.02 * _bell(y - middle, 0.5 * mouth.upper_lip) * gap
    part.height[...] -= 0.03 * _bell(x, 0.13) * _bell(y - lower_edge - 0.055, 0.028)
    part.shade(_bell(y - lower_edge - 0.03, 0.022) * _bell(along, 0.28), 0.16)
    # The groove between nose and mouth.
    groove = _bell(x, 0.018) * _bell(y - upper_edge + 0.05, 0.03)
    part.shade(groove, 0.1)

    opened = np.minimum(y - top, bottom - y)
    open_mask = part.cover(opened, 0.003) * (inside > 0)
    cavity = np.full_like(x, 0.05)
    depth = mouth.up + mouth.down
    if depth > 0.12:
        dome = _distance(x / (0.6 * mouth.width), (y - mouth.y - mouth.down) / (0.45 * depth))
        cavity += part.cover((1.0 - dome) * 0.06, 0.03) * (0.2 - cavity)
    teeth = 0.66 + 0.18 * identity.skin_tone - 0.25 * along**2
    teeth = teeth * (1.0 - 0.1 * (np.sin(x * 62.0) > 0.93))
    show_upper = min(0.075, 0.024 + 0.06 * units[12] + 0.04 * units[20] + 0.05 * units[10])
    upper_teeth = part.cover(top + show_upper * inside**0.4 - y, 0.006)
    cavity += upper_teeth * (units[25] + units[12] + units[20] + units[26] > 0.3) * (teeth - cavity)
    show_lower = 0.055 * units[16] + 0.03 * units[20]
    lower_teeth = part.cover(y - bottom + show_lower * inside**0.4, 0.006)
    cavity += lower_teeth * (show_lower > 0.02) * (0.92 * teeth - cavity)
    part.paint(open_mask, cavity)
    seam = _bell(y - np.where(depth > 0.03, top, line), 0.0085 + 0.004 * units[23])
    part.shade(seam * (np.abs(along) < 1.03), 0.62)
    part.shade(_bell(y - bottom, 0.007) * (inside > 0), 0.25)

    for side in _SIDES:
        own = _by_side(expression, side)
        corner_x = side * mouth.width * 1.03
        corner_y = mouth.y + 0.7 * mouth.corner[0 if side < 0 else 1]
        near = _bell(_distance(x - corner_x, y - corner_y), 0.022)
        part.shade(near, min(0.25 + 0.2 * own[12] + 0.2 * own[15] + 0.2 * own[23], 0.7))
        sag = _bell((x - corner_x) * side - 0.03 - 0.25 * (y - corner_y), 0.014)
        sag = sag * _bell(y - corner_y - 0.06, 0.04)
        part.shade(sag, 0.25 * min(max(own[15], 0.35 * identity.age), 1.0))
        part.height[...] -= 0.012 * own[15] * sag
    if units[23] > 0.2:
        # Tightened lips push up a bulge above and below.
        for edge, sign in ((upper_edge, -1.0), (lower_edge, 1.0)):
            bulge = _bell(y - edge - sign * 0.03, 0.022) * _bell(along, 0.35)
            part.height[...] += 0.02 * units[23] * bulge
    if units[17] > 0.2:
        chin_y = identity.chin - 0.13
        chin = paper.window(-0.25, 0.25, chin_y - 0.2, chin_y + 0.2)
        boss = _bell(chin.x, 0.08) * _bell(chin.y - chin_y, 0.06)
        dimples = 0.5 + 0.5 * np.sin(70.0 * chin.x) * np.sin(60.0 * chin.y)
        chin.height[...] += 0.03 * units[17] * boss
        chin.shade(boss * dimples, 0.16 * units[17])


def _draw_beard(paper: _Paper, identity: Identity, mouth: _Mouth) -> None:
    """Beard and moustache; drawn before the mouth, so that the lips stay visible."""
    if not identity.beard:
        return
    x, y = paper.x, paper.y
    tone = 0.2 * identity.skin_tone + 0.7 * min(identity.hair_tone, 0.6 * identity.skin_tone)
    hairs = 0.8 + 0.2 * np.sin(95.0 * x + 7.0 * np.sin(23.0 * y)) * np.sin(71.0 * y + x)
    border = mouth.y - 0.02 - 0.85 * np.maximum(0.0, np.abs(x) - mouth.width - 0.06)
    below = _smooth_step((y - border) / 0.12)
    paper.paint(0.9 * identity.beard * below * hairs, tone)
    if identity.moustache:
        top = identity.nose_length + 0.13
        droop = 0.5 * np.maximum(0.0, np.abs(x) - 0.1) + 0.3 * x**2
        half = 0.4 * (mouth.y - top)
        distance = np.abs(y - (top + half) - droop)
        mask = _smooth_step((half + 0.03 - distance) / 0.05)
        mask = mask * _smooth_step((mouth.width + 0.06 - np.abs(x)) / 0.08)
        paper.paint(0.9 * identity.moustache * mask * hairs, tone)


def _hair_mask(paper: _Paper, radius: np.ndarray, identity: Identity) -> np.ndarray:
    """Hair on and around the head; 0 everywhere on a bald one."""
    if identity.hair_volume < 0.02:
        return np.zeros_like(radius)
    x, y = paper.x, paper.y
    angle = np.arctan2(x, -y)
    wave = identity.hair_curl * np.sin(17.0 * angle + 2.0 * np.sin(9.0 * angle))
    thickness = identity.hair_volume * (0.4 + 0.6 * _smooth_step((0.3 - y) / 0.9)) + wave
    outside = (1.0 + thickness - radius) * identity.head_width
    # The hairline: high in the middle, down to the temples, along the sides to hair_length.
    side = np.abs(x) / identity.head_width
    line = identity.hair_line + 0.16 * side**2 + identity.hair_fringe
    line = line - 0.07 * _bell(x - identity.hair_part * identity.head_width, 0.07)
    line = line + 0.3 * identity.hair_curl * np.sin(21.0 * x)
    temple = 0.87 - 0.1 * (identity.hair_length > 0.1) + 0.09 * np.clip(y, -0.4, 0.6)
    falls = _smooth_step((side - temple + 0.05) / 0.1)
    line = line + falls * np.maximum(0.0, identity.hair_length - line)
    return paper.cover(np.minimum(outside, line - y), 0.02)


def _draw_hair(
    paper: _Paper, mask: np.ndarray, identity: Identity, key: np.random.Generator
) -> None:
    x, y = paper.x, paper.y
    part = x - identity.hair_part * identity.head_width
    flow = np.abs(part) * 30.0 / (1.25 + y * 0.4) + 3.0 * identity.hair_curl * 20.0 * np.sin(9 * y)
    phases = key.uniform(0.0, 6.28, 3).tolist()
    strands = (
        np.sin(flow + phases[0])
        + 0.6 * np.sin(2.3 * flow + 4.0 * y + phases[1])
        + 0.5 * np.sin(3.7 * flow - 3.0 * y + phases[2])
    )
    shine = 0.3 * _bell(y + 0.85, 0.12)
    tone = identity.hair_tone * (1.0 + 0.16 * strands + shine) + 0.03 * shine
    shadow = np.clip(_edge_shadow(mask), 0.0, 1.0)
    paper.shade(shadow * (1.0 - mask), 0.22)
    paper.paint(mask, np.clip(tone, 0.02, 1.0))


def _edge_shadow(mask: np.ndarray) -> np.ndarray:
    """The mask shifted downwards: the shadow that hair throws on the forehead."""
    shift = max(1, mask.shape[0] // 40)
    shadow = np.zeros_like(mask)
    shadow[shift:] = mask[:-shift]
    return shadow


def _draw_glasses(paper: _Paper, identity: Identity) -> None:
    if not identity.glasses:
        return
    part = paper.window(-0.85, 0.85, -0.45, 0.2)
    x, y = np.abs(part.x), part.y
    n = identity.glasses_roundness
    half_x, half_y = 0.225, 0.165
    middle_x, middle_y = identity.eye_spacing + 0.005, identity.eye_y + 0.03
    radius = (np.abs((x - middle_x) / half_x) ** n + np.abs((y - middle_y) / half_y) ** n) ** (
        1.0 / n
    )
    distance = (radius - 1.0) * half_y
    frame = part.cover(0.013 + 0.008 * identity.glasses - np.abs(distance))
    bridge = part.cover(0.014 - np.abs(y - middle_y + 0.05 + 0.5 * (0.1 - x) * 0.2))
    frame = np.maximum(frame, bridge * (x < middle_x - half_x))
    temple = part.cover(0.014 - np.abs(y - middle_y + 0.05))
    behind = middle_x + half_x
    frame = np.maximum(frame, temple * (x > behind) * (x < 1.02 * identity.head_width))
    glass = part.cover(-distance)
    part.albedo[...] += 0.035 * glass * (1.0 - frame)
    part.paint(frame, 0.35 * (1.0 - identity.glasses) + 0.04)


def _light(height: np.ndarray, pixel: float, nuisance: Nuisance) -> np.ndarray:
    """How bright each point is: Lambert's law with wrapped shadows, ambient light and a shine."""
    slope_y, slope_x = np.gradient(height, pixel)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1.0)
    azimuth, elevation = nuisance.light_azimuth, nuisance.light_elevation
    light_x = math.sin(azimuth) * math.cos(elevation)
    light_y = -math.sin(elevation)
    light_z = math.cos(azimuth) * math.cos(elevation)
    towards = (light_z - light_x * slope_x - light_y * slope_y) / length
    diffuse = np.clip((towards + 0.15) / 1.15, 0.0, 1.0)
    # Halfway between light and camera, for the shine of the skin.
    norm = math.sqrt(light_x**2 + light_y**2 + (light_z + 1.0) ** 2)
    shine = (light_z + 1.0 - light_x * slope_x - light_y * slope_y) / (norm * length)
    shine = np.maximum(shine, 0.0)
    for _ in range(4):
        shine = shine * shine  # to the 16th power
    sky = 0.75 + 0.25 / length
    return nuisance.ambient * sky + (1.15 - nuisance.ambient) * diffuse + 0.06 * shine


def _draw_occlusion(gray: np.ndarray, u: np.ndarray, v: np.ndarray, nuisance: Nuisance) -> None:
    """Something before the face that comes in from the border."""
    if not nuisance.occlusion:
        return
    cos, sin = math.cos(nuisance.occlusion_angle), math.sin(nuisance.occlusion_angle)
    out, across = u * cos + v * sin, -u * sin + v * cos
    tip = nuisance.occlusion_reach + nuisance.occlusion_width
    past = np.maximum(0.0, tip - out)
    distance = nuisance.occlusion_width - _distance(across, past)
    pixel = 2.0 / gray.shape[0]
    mask = np.clip(distance / pixel + 0.5, 0.0, 1.0)
    roundness = 0.7 + 0.3 * np.sqrt(
        np.clip(1.0 - (across / nuisance.occlusion_width) ** 2, 0.0, 1.0)
    )
    gray += mask * (nuisance.occlusion * roundness - gray)


def _blur(gray: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian blur; the deviation is in pixels of the array."""
    if deviation < 0.25:
        return gray
    reach = int(np.ceil(2.5 * deviation))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    size = gray.shape[0]
    padded = np.pad(gray, reach, mode="edge")
    rows, blurred = np.zeros_like(padded[:size]), np.zeros_like(gray)
    for i, tap in enumerate(taps):
        rows += tap * padded[i : i + size]
    for i, tap in enumerate(taps):
        blurred += tap * rows[:, i : i + size]
    return blurred


def _draw_scene(
    identity: Identity,
    expression: Expression,
    nuisance: Nuisance,
    size_px: int,
    key: np.random.Generator,
) -> np.ndarray:
    """The picture before the camera's own faults: float32 gray `[size_px, size_px]`."""
    line = (np.arange(size_px, dtype=np.float32) + 0.5) * (2.0 / size_px) - 1.0
    v, u = np.meshgrid(line - nuisance.shift_y, line - nuisance.shift_x, indexing="ij")
    x, y = _frontal_coordinates(u, v, identity, nuisance)
    pixel = 2.0 / (size_px * nuisance.scale)
    chin = identity.chin + _jaw_drop(expression)
    radius = _head_radius(x, y, identity, chin)
    # The height goes on beyond the outline, for the hair.
    dome = _HEAD_DEPTH * np.sqrt(np.maximum(0.02, 1.06 - 0.82 * radius**2))
    scene = _Paper(x, y, np.empty_like(x), dome.astype(np.float32), pixel)
    _draw_body(scene, u, v, identity, nuisance)
    head = scene.cover((1.0 - radius) * identity.head_width)
    hair = _hair_mask(scene, radius, identity)
    _draw_ears(scene, identity)
    lit = np.maximum(head, hair)

    face = scene._replace(albedo=np.empty_like(x))
    mouth = _place_mouth(identity, expression)
    _draw_skin(face, identity, expression, key)
    _draw_forehead(face, identity, expression)
    _draw_folds(face, identity, expression, mouth)
    _draw_nose(face, identity, expression)
    _draw_eyes(face, identity, expression, nuisance)
    _draw_brows(face, identity, expression)
    _draw_beard(face, identity, mouth)
    _draw_mouth(face, identity, expression, mouth)
    scene.paint(head, face.albedo)
    _draw_hair(scene, hair, identity, key)
    _draw_glasses(scene, identity)

    # The depth of the turned head: its slopes are what the light sees.
    turned = scene.height * math.cos(nuisance.yaw) - x * math.sin(nuisance.yaw)
    turned = turned * math.cos(nuisance.pitch) - y * math.sin(nuisance.pitch)
    brightness = 1.0 + lit * (_light(turned, pixel, nuisance) - 1.0)
    gray = scene.albedo * brightness
    _draw_occlusion(gray, u, v, nuisance)
    return gray


def draw(
    identity: Identity,
    expression: Expression,
    nuisance: Nuisance,
    *,
    image_size_px: int = 128,
    seed: tuple[int, ...] = (0,),
) -> np.ndarray:
    """Draws one face.

    Args:
        identity: the person's looks.
        expression: what the face does.
        nuisance: how the picture was taken.
        image_size_px: width and height of the picture; divides 128.
        seed: integers that decide the grain of the picture (noise, strands, freckles).

    Returns:
        uint8 `[image_size_px, image_size_px]`, gray.
    """
    texture_key = np.random.default_rng([SEED, TEXTURE_STREAM, *seed[:1]])
    gray = _draw_scene(identity, expression, nuisance, DRAWN_SIZE_PX, texture_key)
    gray = _blur(gray, nuisance.blur)
    block = DRAWN_SIZE_PX // image_size_px
    small = gray.reshape(image_size_px, block, image_size_px, block).mean((1, 3))
    small = np.clip(small * nuisance.exposure, 0.0, 1.0) ** nuisance.gamma
    noise_key = np.random.default_rng([SEED, TEXTURE_STREAM + 1, *seed])
    small = small + nuisance.noise * noise_key.standard_normal(small.shape, np.float32)
    return np.rint(np.clip(small, 0.0, 1.0) * 255.0).astype(np.uint8)


def to_image(gray: np.ndarray) -> Image.Image:
    """Wraps a drawn face as a Pillow image.

    Args:
        gray: uint8 `[H, W]`.

    Returns:
        The image, mode "L".
    """
    return Image.fromarray(gray, mode="L")
