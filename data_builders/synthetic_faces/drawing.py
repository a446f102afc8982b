"""Draws a face from its factors: a height map and a gray albedo, lit from one direction.

Every part of the face is a function of the coordinates (x, y) of a frontal face, in face units
(see `factors`). Pose is put in by asking, for each pixel, which point of the frontal face it
shows. Parts add to the height map or paint the albedo; the light then does the rest: the light's
direction decides what a wrinkle or a raised cheek looks like. Every edge
is drawn with its share of the pixel, so nothing needs to be drawn larger than it is stored; small
pictures are averages of large ones. All arrays are float32.
"""

import math

import numpy as np

from .face_parts import (
    draw_brows,
    draw_eyes,
    draw_folds,
    draw_forehead,
    draw_nose,
    draw_skin,
)
from .factors import (
    SEED,
    TEXTURE_STREAM,
    Expression,
    Identity,
    Nuisance,
)
from .mouth import draw_beard, draw_mouth, place_mouth
from .paper import SIDES, Paper, bell, jaw_drop, length_of, smooth_step

DRAWN_SIZE_PX = 128  # every picture is drawn in this size; smaller ones are averages of it
_HEAD_DEPTH = 0.62  # how far the middle of the face stands before the head's edge


def _head_radius(x: np.ndarray, y: np.ndarray, identity: Identity, chin: float) -> np.ndarray:
    """1 on the outline of the head, less inside."""
    lower = np.clip(y / chin, 0.0, 1.3)
    narrowing = (1.0 - identity.jaw_width) * smooth_step((lower - 0.05) / 1.1)
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
        depth += identity.nose_height * bell(x, 0.11) * bell(y - identity.nose_length, 0.13)
        x = (across - depth * sin_yaw) / cos_yaw
        y = (down - depth * sin_pitch) / cos_pitch
    return x, y


def _draw_body(
    paper: Paper, u: np.ndarray, v: np.ndarray, identity: Identity, nuisance: Nuisance
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
    shadow = 0.45 + 0.35 * smooth_step((y - 0.95) / 0.5) - 0.25 * (x / neck) ** 2
    paper.paint(mask, identity.skin_tone * np.maximum(shadow, 0.1))
    shoulder = y - (1.2 + 0.18 * x**2) + 0.3 * np.maximum(0.0, 0.3 - np.abs(x)) * -1.0
    paper.paint(paper.cover(shoulder), identity.clothes_tone * (1.0 - 0.25 * np.abs(x)))


def _draw_ears(paper: Paper, identity: Identity) -> None:
    size = identity.ear_size
    for side in SIDES:
        middle = side * (identity.head_width + 0.12 * size)
        part = paper.window(middle - size, middle + size, -0.3, 0.4)
        x, y = (part.x - middle) / (0.5 * size), (part.y - 0.04) / size
        radius = np.sqrt(x**2 + y**2)
        part.paint(part.cover((1.0 - radius) * 0.5 * size), identity.skin_tone * 0.92)
        part.shade(bell(radius - 0.2, 0.2), 0.35)
        part.shade(bell(radius - 0.95, 0.1), 0.15)


def _hair_mask(paper: Paper, radius: np.ndarray, identity: Identity) -> np.ndarray:
    """Hair on and around the head; 0 everywhere on a bald one."""
    if identity.hair_volume < 0.02:
        return np.zeros_like(radius)
    x, y = paper.x, paper.y
    angle = np.arctan2(x, -y)
    wave = identity.hair_curl * np.sin(17.0 * angle + 2.0 * np.sin(9.0 * angle))
    thickness = identity.hair_volume * (0.4 + 0.6 * smooth_step((0.3 - y) / 0.9)) + wave
    outside = (1.0 + thickness - radius) * identity.head_width
    # The hairline: high in the middle, down to the temples, along the sides to hair_length.
    side = np.abs(x) / identity.head_width
    line = identity.hair_line + 0.16 * side**2 + identity.hair_fringe
    line = line - 0.07 * bell(x - identity.hair_part * identity.head_width, 0.07)
    line = line + 0.3 * identity.hair_curl * np.sin(21.0 * x)
    temple = 0.87 - 0.1 * (identity.hair_length > 0.1) + 0.09 * np.clip(y, -0.4, 0.6)
    falls = smooth_step((side - temple + 0.05) / 0.1)
    line = line + falls * np.maximum(0.0, identity.hair_length - line)
    return paper.cover(np.minimum(outside, line - y), 0.02)


def _draw_hair(
    paper: Paper, mask: np.ndarray, identity: Identity, key: np.random.Generator
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
    shine = 0.3 * bell(y + 0.85, 0.12)
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


def _draw_glasses(paper: Paper, identity: Identity) -> None:
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
    distance = nuisance.occlusion_width - length_of(across, past)
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
    chin = identity.chin + jaw_drop(expression)
    radius = _head_radius(x, y, identity, chin)
    # The height goes on beyond the outline, for the hair.
    dome = _HEAD_DEPTH * np.sqrt(np.maximum(0.02, 1.06 - 0.82 * radius**2))
    scene = Paper(x, y, np.empty_like(x), dome.astype(np.float32), pixel)
    _draw_body(scene, u, v, identity, nuisance)
    head = scene.cover((1.0 - radius) * identity.head_width)
    hair = _hair_mask(scene, radius, identity)
    _draw_ears(scene, identity)
    lit = np.maximum(head, hair)

    face = scene._replace(albedo=np.empty_like(x))
    mouth = place_mouth(identity, expression)
    draw_skin(face, identity, expression, key)
    draw_forehead(face, identity, expression)
    draw_folds(face, identity, expression, mouth)
    draw_nose(face, identity, expression)
    draw_eyes(face, identity, expression, nuisance)
    draw_brows(face, identity, expression)
    draw_beard(face, identity, mouth)
    draw_mouth(face, identity, expression, mouth)
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
