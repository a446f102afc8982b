"""The mouth: where the action units put the lips, and how lips, teeth and beard are drawn."""

from typing import NamedTuple

import numpy as np

from .factors import Expression, Identity
from .paper import SIDES, Paper, bell, by_side, length_of, smooth_step


class Mouth(NamedTuple):
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


def place_mouth(identity: Identity, expression: Expression) -> Mouth:
    """Turns the action units of the lower face into the places of the lips."""
    units = expression.units
    smile, frown, stretch, tight = units[12], units[15], units[20], units[23]
    jaw, part = units[26], units[25]
    rounding = jaw * max(0.0, 1.0 - stretch - smile)
    width = identity.mouth_width * (
        1.0 + 0.3 * smile + 0.3 * stretch - 0.14 * tight - 0.34 * rounding - 0.03 * frown
    )
    corners = []
    for side in SIDES:
        own = by_side(expression, side)
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
    return Mouth(y, width, (corners[0], corners[1]), up, down, upper_lip, lower_lip)


def draw_mouth(paper: Paper, identity: Identity, expression: Expression, mouth: Mouth) -> None:
    """Lips, the dark of the open mouth, teeth and tongue."""
    units = expression.units
    reach = mouth.width * 1.3
    part = paper.window(-reach, reach, mouth.y - 0.3, mouth.y + 0.5)
    x, y = part.x, part.y
    along, line = mouth.line(x)
    inside = np.maximum(0.0, 1.0 - along**2)
    gap = inside ** (0.62 - 0.12 * min(units[26], 1.0))
    top, bottom = line - mouth.up * gap, line + mouth.down * gap
    bow = 1.0 - 0.22 * bell(along, 0.09) + 0.1 * bell(np.abs(along) - 0.25, 0.1)
    upper_edge = top - mouth.upper_lip * inside**0.8 * bow
    lower_edge = bottom + mouth.lower_lip * inside**0.65

    lips = np.minimum(y - upper_edge, lower_edge - y)
    tone = identity.skin_tone * identity.lip_tone
    upper_half = part.cover(line - y, 0.02)
    part.paint(part.cover(lips, 0.012) * (inside > 0), tone * (1.0 - 0.14 * upper_half))
    middle = 0.5 * (bottom + lower_edge)
    part.height[...] += 0.035 * bell(y - middle, 0.45 * mouth.lower_lip) * gap
    middle = 0.5 * (top + upper_edge)
    part.height[...] += 0.02 * bell(y - middle, 0.5 * mouth.upper_lip) * gap
    part.height[...] -= 0.03 * bell(x, 0.13) * bell(y - lower_edge - 0.055, 0.028)
    part.shade(bell(y - lower_edge - 0.03, 0.022) * bell(along, 0.28), 0.16)
    # The groove between nose and mouth.
    groove = bell(x, 0.018) * bell(y - upper_edge + 0.05, 0.03)
    part.shade(groove, 0.1)

    opened = np.minimum(y - top, bottom - y)
    open_mask = part.cover(opened, 0.003) * (inside > 0)
    cavity = np.full_like(x, 0.05)
    depth = mouth.up + mouth.down
    if depth > 0.12:
        dome = length_of(x / (0.6 * mouth.width), (y - mouth.y - mouth.down) / (0.45 * depth))
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
    seam = bell(y - np.where(depth > 0.03, top, line), 0.0085 + 0.004 * units[23])
    part.shade(seam * (np.abs(along) < 1.03), 0.62)
    part.shade(bell(y - bottom, 0.007) * (inside > 0), 0.25)

    for side in SIDES:
        own = by_side(expression, side)
        corner_x = side * mouth.width * 1.03
        corner_y = mouth.y + 0.7 * mouth.corner[0 if side < 0 else 1]
        near = bell(length_of(x - corner_x, y - corner_y), 0.022)
        part.shade(near, min(0.25 + 0.2 * own[12] + 0.2 * own[15] + 0.2 * own[23], 0.7))
        sag = bell((x - corner_x) * side - 0.03 - 0.25 * (y - corner_y), 0.014)
        sag = sag * bell(y - corner_y - 0.06, 0.04)
        part.shade(sag, 0.25 * min(max(own[15], 0.35 * identity.age), 1.0))
        part.height[...] -= 0.012 * own[15] * sag
    if units[23] > 0.2:
        # Tightened lips push up a bulge above and below.
        for edge, sign in ((upper_edge, -1.0), (lower_edge, 1.0)):
            bulge = bell(y - edge - sign * 0.03, 0.022) * bell(along, 0.35)
            part.height[...] += 0.02 * units[23] * bulge
    if units[17] > 0.2:
        chin_y = identity.chin - 0.13
        chin = paper.window(-0.25, 0.25, chin_y - 0.2, chin_y + 0.2)
        boss = bell(chin.x, 0.08) * bell(chin.y - chin_y, 0.06)
        dimples = 0.5 + 0.5 * np.sin(70.0 * chin.x) * np.sin(60.0 * chin.y)
        chin.height[...] += 0.03 * units[17] * boss
        chin.shade(boss * dimples, 0.16 * units[17])


def draw_beard(paper: Paper, identity: Identity, mouth: Mouth) -> None:
    """Beard and moustache; drawn before the mouth, so that the lips stay visible."""
    if not identity.beard:
        return
    x, y = paper.x, paper.y
    tone = 0.2 * identity.skin_tone + 0.7 * min(identity.hair_tone, 0.6 * identity.skin_tone)
    hairs = 0.8 + 0.2 * np.sin(95.0 * x + 7.0 * np.sin(23.0 * y)) * np.sin(71.0 * y + x)
    border = mouth.y - 0.02 - 0.85 * np.maximum(0.0, np.abs(x) - mouth.width - 0.06)
    below = smooth_step((y - border) / 0.12)
    paper.paint(0.9 * identity.beard * below * hairs, tone)
    if identity.moustache:
        top = identity.nose_length + 0.13
        droop = 0.5 * np.maximum(0.0, np.abs(x) - 0.1) + 0.3 * x**2
        half = 0.4 * (mouth.y - top)
        distance = np.abs(y - (top + half) - droop)
        mask = smooth_step((half + 0.03 - distance) / 0.05)
        mask = mask * smooth_step((mouth.width + 0.06 - np.abs(x)) / 0.08)
        paper.paint(0.9 * identity.moustache * mask * hairs, tone)
