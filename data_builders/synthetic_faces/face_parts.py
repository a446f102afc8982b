"""The skin and what moves in it, except for the mouth: forehead, nose, folds, eyes and brows.

Each function adds to the height map or paints the albedo of the paper that it is given.
"""

import numpy as np

from .factors import Expression, Identity, Nuisance
from .mouth import Mouth
from .paper import (
    SIDES,
    Paper,
    bell,
    by_side,
    jaw_drop,
    length_of,
    smooth_step,
)


def draw_skin(
    paper: Paper, identity: Identity, expression: Expression, key: np.random.Generator
) -> None:
    """The bare head: tone, and the bumps that do not move much."""
    x, y, height = paper.x, paper.y, paper.height
    tone = identity.skin_tone * (1.0 + 0.03 * np.sin(5.0 * x + 1.0) * np.sin(4.0 * y))
    paper.albedo[...] = tone
    # Temples and the hollow of the cheek recede; the chin and the brow ridge stand out.
    height -= 0.03 * bell(np.abs(x) - 0.72, 0.16) * bell(y + 0.35, 0.25)
    chin = identity.chin + jaw_drop(expression) - 0.14
    part = paper.window(-0.35, 0.35, chin - 0.23, chin + 0.23)
    part.height[...] += 0.05 * bell(part.x, 0.14) * bell(part.y - chin, 0.09)
    for side in SIDES:
        units = by_side(expression, side)
        raised = 0.07 * units[6] + 0.03 * units[12]
        fullness = 0.035 + 0.03 * identity.cheek + 0.06 * units[6] + 0.035 * units[12]
        middle = side * 0.43
        part = paper.window(middle - 0.38, middle + 0.38, -0.15, 0.53)
        cheek = bell(part.x - middle, 0.15) * bell(part.y - 0.24 + raised, 0.115)
        part.height[...] += fullness * cheek
        if identity.freckles:
            part = paper.window(side * 0.4 - 0.3, side * 0.4 + 0.3, 0.0, 0.4)
            for _ in range(int(14 * identity.freckles)):
                fx = side * 0.38 + 0.1 * key.standard_normal()
                fy = 0.2 + 0.07 * key.standard_normal()
                spot = bell(length_of(part.x - fx, part.y - fy), 0.012)
                part.shade(spot, 0.35)


def draw_forehead(paper: Paper, identity: Identity, expression: Expression) -> None:
    """Wrinkles of the raised brow (AU1, AU2) and of the frown (AU4)."""
    inner, outer = expression.units[1], expression.units[2]
    frown = expression.units[4]
    part = paper.window(-0.6, 0.6, -0.75, -0.3)
    x, y = part.x, part.y
    across = bell(x, 0.1) * inner + np.maximum(
        np.minimum(outer, 1.0) * bell(x, 0.23), 0.5 * identity.age * bell(x, 0.2)
    )
    across = np.minimum(across, 1.0)
    for number, place in enumerate((-0.42, -0.5, -0.58)):
        lift = 0.04 * inner * bell(x, 0.12) * (1.0 - outer)
        crease = bell(y - place - lift - 0.015 * np.sin(5.0 * x + number), 0.012) * across
        part.height[...] -= 0.016 * crease
        part.shade(crease, 0.16)
    part = paper.window(-0.15, 0.15, -0.45, -0.05)
    x, y = part.x, part.y
    strength = max(frown, 0.4 * identity.age)
    for side in SIDES:
        crease = bell(x - side * (0.045 + 0.05 * (y + 0.25)), 0.011) * bell(y + 0.24, 0.055)
        part.height[...] -= 0.02 * strength * crease
        part.shade(crease, 0.3 * strength)
    part.height[...] += 0.02 * frown * bell(x, 0.05) * bell(y + 0.22, 0.06)


def draw_nose(paper: Paper, identity: Identity, expression: Expression) -> None:
    """Ridge, tip, wings, nostrils and the wrinkles of disgust (AU9)."""
    wrinkle = expression.units[9]
    tip, half = identity.nose_length, identity.nose_width
    part = paper.window(-0.4, 0.4, -0.35, tip + 0.3)
    x, y = part.x, part.y
    along = np.clip((y + 0.15) / (tip + 0.15), 0.0, 1.0)
    ridge = bell(x, 0.05 + 0.03 * along) * smooth_step((y + 0.3) / (tip + 0.25))
    ridge = ridge * smooth_step((tip + 0.1 - y) / 0.11)
    part.height[...] += identity.nose_height * (0.25 + 0.5 * along) * ridge
    ball = bell(length_of(x, y - tip + 0.01), 0.065)
    part.height[...] += 0.35 * identity.nose_height * ball
    wings = tip + 0.02 - 0.045 * wrinkle
    for side in SIDES:
        dx = x - side * 0.78 * half
        wing = bell(length_of(dx, (y - wings) * 1.1), 0.042 * half / 0.135)
        part.height[...] += 0.06 * (1.0 + 0.3 * wrinkle) * wing
        fold = bell(length_of(dx - side * 0.05, (y - wings) * 0.8) - 0.02, 0.014)
        part.shade(fold * (x * side > 0.7 * half), 0.25)
        dx = x - side * 0.45 * half
        hole = length_of(dx / (0.25 * half), (y - wings - 0.045 - side * 0.1 * dx) / 0.018)
        part.shade(part.cover((1.0 - hole) * 0.02, 0.012), 0.75)
    part.shade(bell(x, 0.07) * bell(y - tip - 0.085, 0.02), 0.18)
    if wrinkle > 0.1:
        # Wrinkles run from the bridge down and outwards on both sides.
        size = np.abs(x)
        for place in (-0.11, -0.04, 0.03):
            crease = bell(y - place - 0.6 * size, 0.015) * bell(size - 0.07, 0.04)
            part.height[...] -= 0.016 * wrinkle * crease
            part.shade(crease, 0.2 * wrinkle)


def draw_folds(paper: Paper, identity: Identity, expression: Expression, mouth: Mouth) -> None:
    """Nasolabial folds, the bag below the eye and crow's feet."""
    for side in SIDES:
        units = by_side(expression, side)
        part = paper.window(side * 0.08, side * 0.62, identity.nose_length - 0.15, mouth.y + 0.2)
        x, y = part.x * side, part.y
        top = identity.nose_length - 0.05 - 0.05 * units[9]
        bottom = mouth.y + 0.06 - 0.05 * units[12]
        along = (y - top) / (bottom - top)
        start = identity.nose_width + 0.03
        end = mouth.width + 0.065 + 0.02 * units[12]
        place = start + (end - start) * np.clip(along, 0.0, 1.1) ** (0.8 - 0.15 * units[12])
        ends = smooth_step(along / 0.2) * smooth_step((1.08 - along) / 0.35)
        strength = max(0.4 * identity.age, units[12], 0.75 * units[9], 0.7 * units[10])
        strength = min(0.1 + strength, 1.0)
        crease = bell(x - place, 0.02) * ends
        part.height[...] -= 0.022 * strength * crease
        part.height[...] += 0.025 * strength * bell(x - place - 0.07, 0.04) * ends
        part.shade(crease, 0.24 * strength)

        eye = identity.eye_spacing
        part = paper.window(side * 0.1, side * 0.75, -0.35, 0.2)
        x, y = part.x * side, part.y
        bag = y - identity.eye_y - 0.115 + 0.03 * units[6] + 0.35 * (x - eye) ** 2
        strength = min(0.25 * identity.age + 0.75 * units[6] + 0.25 * units[9], 1.0)
        crease = bell(bag, 0.014) * bell(x - eye, 0.085)
        part.height[...] -= 0.018 * strength * crease
        part.shade(crease, 0.2 * strength)
        feet = 0.9 * units[6] + 0.3 * identity.age
        for slope in (-0.45, -0.05, 0.35):
            corner = eye + identity.eye_width + 0.05
            crease = bell(y - identity.eye_y - slope * (x - corner + 0.03), 0.009)
            crease = crease * bell(x - corner - 0.045, 0.025)
            part.height[...] -= 0.012 * feet * crease
            part.shade(crease, 0.24 * feet)


def draw_eyes(paper: Paper, identity: Identity, expression: Expression, nuisance: Nuisance) -> None:
    """Sockets, lids (AU5, 6, 7, 43), sclera, iris and lashes."""
    skin = identity.skin_tone
    for side in SIDES:
        units = by_side(expression, side)
        middle = side * identity.eye_spacing
        part = paper.window(middle - 0.3, middle + 0.3, -0.45, 0.15)
        half = identity.eye_width
        x, y = (part.x - middle) * side, part.y - identity.eye_y
        y = y + identity.eye_tilt * x / half
        part.height[...] -= 0.05 * bell(x + 0.02, 0.12) * bell(y + 0.05, 0.07)
        part.height[...] += 0.035 * bell(x, 0.09) * bell(y, 0.05)
        part.shade(bell(x + 0.06, 0.1) * bell(y + 0.04, 0.06), 0.12)

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
        radius = length_of(x - gaze_x, y + 0.008 - gaze_y)
        ball = 0.9 - 0.35 * along**2 - 0.3 * bell(y - upper_lid, 0.016)
        ball *= 0.78 + 0.22 * skin
        iris = 0.5 * identity.iris_tone + 2.2 * identity.iris_tone * (radius / 0.08) ** 2 * 0.5
        iris = np.where(radius > 0.068, 0.05, np.clip(iris, 0.05, 0.5))
        ball += part.cover(0.078 - radius, 0.008) * (iris - ball)
        ball *= 1.0 - part.cover(0.033 - radius)
        glint = length_of(x * side - gaze_x * side - 0.025, y + 0.035 - gaze_y)
        ball += part.cover(0.016 - glint) * (0.95 - ball)
        # The eyeball is not lit like the skin: what is painted here is undone by no shadow.
        part.paint(open_mask, ball)

        ends = np.abs(x) < half + 0.012
        lash = bell(y - upper_lid + 0.004, 0.0115) * ends
        part.shade(lash, 0.82)
        part.shade(bell(y - lower_lid, 0.008) * ends * (x > -0.8 * half), 0.32)
        # The crease of the upper lid hides under the raised lid and under the lowered brow.
        fold = y - upper_lid * (0.7 + 0.3 * along) + 0.042 - 0.018 * units[5]
        part.shade(bell(fold, 0.009) * (np.abs(x) < half), 0.33 * (1.0 - 0.4 * units[4]))
        part.shade(bell(y - lower_lid - 0.05, 0.02) * (np.abs(x) < half), 0.07)


def draw_brows(paper: Paper, identity: Identity, expression: Expression) -> None:
    """Brows: raised inside (AU1), raised outside (AU2), lowered and drawn together (AU4)."""
    hair_tone = min(identity.hair_tone, 0.75 * identity.skin_tone)
    tone = 0.25 * identity.skin_tone + 0.6 * hair_tone
    for side in SIDES:
        units = by_side(expression, side)
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
        part.height[...] += 0.025 * bell(y - curve, 0.035) * bell(along - 0.45, 0.3)
        hairs = 0.95 + 0.06 * np.sin(110.0 * x + 60.0 * y)
        part.paint(0.92 * mask * hairs, tone)
