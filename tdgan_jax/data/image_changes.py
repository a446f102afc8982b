"""Augmentations of single images, as `augmentation.py` declares them.

Images are uint8 `[H, W, C]` in 0..255, C is 1 (gray) or 3 (RGB); the one that is given is never
written to, and the result may share its memory. All randomness comes from the generator.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tdgan_jax.data.augmentation import (
    Affine,
    Augmentation,
    ColourJitter,
    Crop,
    Equalisation,
    Erasing,
    Flip,
    Group,
    Mixup,
    PadCrop,
    RandomResizedCrop,
    Rotation,
)
from tdgan_jax.data.images import resize_exactly, to_array, to_pil
from tdgan_jax.data.limits import Colour
from tdgan_jax.errors import UsageError

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
# How often a rectangle is drawn until it fits into the image, as in torchvision.
NUM_ATTEMPTS = 10


def example_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator of one example's augmentation in one epoch.

    It depends on nothing else, so that the result is the same for any number of workers, devices
    and processes, and after a resume.
    """
    return np.random.default_rng([seed, epoch, index])


def augment(
    generator: np.random.Generator,
    image: np.ndarray,
    augmentations: Sequence[Augmentation],
    *,
    size_px: int,
) -> np.ndarray:
    """Changes one image as its augmentations say, in order; those of whole batches do nothing.

    Args:
        generator: The example's own.
        image: uint8 `[H, W, C]`.
        augmentations: Of `parse_augmentations`.
        size_px: Side of the result of crops that leave theirs open.

    Raises:
        UsageError: If a crop is larger than the image, or a colour has other channels than it.
    """
    for one in augmentations:
        if isinstance(one, Mixup):
            continue
        # What always happens draws nothing.
        is_drawn = one.probability >= 1 or generator.random() < one.probability
        if isinstance(one, Crop):
            image = cropped(generator if is_drawn else None, image, one.size_px or size_px)
        elif isinstance(one, PadCrop):
            side = one.size_px or size_px
            image = cropped(generator if is_drawn else None, image, side, one.padding_px, one.fill)
        elif isinstance(one, RandomResizedCrop):
            side = one.size_px or size_px
            image = resized_crop(generator if is_drawn else None, image, one, side)
        elif not is_drawn:
            continue
        elif isinstance(one, Group):
            image = augment(generator, image, one.members, size_px=size_px)
        else:
            image = CHANGES[type(one)](generator, image, one)
    return image


def cropped(
    generator: np.random.Generator | None,
    image: np.ndarray,
    size_px: int,
    padding_px: int = 0,
    fill: Colour = 0,
) -> np.ndarray:
    """A square at a random place, or without a generator in the middle.

    Raises:
        UsageError: If it is larger than the padded image.
    """
    height, width, channels = image.shape
    room = height + 2 * padding_px - size_px, width + 2 * padding_px - size_px
    if min(room) < 0:
        raise UsageError(
            f"a crop of {size_px} px does not fit into an image of {width}x{height} px with "
            f"{padding_px} px around it"
        )
    top, left = (
        (length // 2 if generator is None else int(generator.integers(length + 1))) - padding_px
        for length in room
    )
    if top >= 0 and left >= 0 and top + size_px <= height and left + size_px <= width:
        return image[top : top + size_px, left : left + size_px]
    result = np.empty((size_px, size_px, channels), np.uint8)
    result[...] = _colour(fill, channels)
    rows = slice(max(top, 0), min(top + size_px, height))
    columns = slice(max(left, 0), min(left + size_px, width))
    inside = image[rows, columns]
    below, right = max(-top, 0), max(-left, 0)
    result[below : below + inside.shape[0], right : right + inside.shape[1]] = inside
    return result


def resized_crop(
    generator: np.random.Generator | None, image: np.ndarray, crop: RandomResizedCrop, size_px: int
) -> np.ndarray:
    """A random rectangle resized to a square, or without a generator the whole image."""
    if generator is not None:
        image = _random_rectangle(generator, image, crop)
    if crop.resampling == "bilinear":
        return resize_exactly(image, size_px, image.shape[-1])
    pil = to_pil(image, image.shape[-1])
    return to_array(pil.resize((size_px, size_px), RESAMPLING[crop.resampling]))


def flipped(generator: np.random.Generator, image: np.ndarray, flip: Flip) -> np.ndarray:
    """The mirror image."""
    del generator, flip
    return image[:, ::-1]


def rotated(generator: np.random.Generator, image: np.ndarray, rotation: Rotation) -> np.ndarray:
    """Turned about the middle by an angle of either sign."""
    angle = rotation.degrees * (2 * generator.random() - 1)
    channels = image.shape[-1]
    turned = to_pil(image, channels).rotate(
        angle, RESAMPLING[rotation.resampling], fillcolor=_colour(rotation.fill, channels)
    )
    return to_array(turned)


def warped(generator: np.random.Generator, image: np.ndarray, affine: Affine) -> np.ndarray:
    """Turned, sheared, scaled and shifted in one resampling."""
    height, width, channels = image.shape
    angle, shear, scale, right, down = generator.random(5).tolist()
    low, high = affine.scale
    reach = affine.translation
    coefficients = inverse_affine(
        (width, height),
        radians=math.radians(affine.rotation_degrees * (2 * angle - 1)),
        shear_radians=math.radians(affine.shear_degrees * (2 * shear - 1)),
        scale=low + (high - low) * scale,
        shift_px=(round(reach * width * (2 * right - 1)), round(reach * height * (2 * down - 1))),
    )
    moved = to_pil(image, channels).transform(
        (width, height),
        Image.Transform.AFFINE,
        coefficients,
        RESAMPLING[affine.resampling],
        fillcolor=_colour(affine.fill, channels),
    )
    return to_array(moved)


def inverse_affine(
    size_px: tuple[int, int],
    *,
    radians: float,
    shear_radians: float,
    scale: float,
    shift_px: tuple[float, float],
) -> tuple[float, float, float, float, float, float]:
    """Where a point of the result comes from: (a, b, c, d, e, f) of x = a x' + b y' + c and so on.

    An image is sheared, turned (clockwise, y goes down) and scaled about its middle, then shifted.

    Args:
        size_px: Width and height.
        radians: Angle of the turn.
        shear_radians: Angle by which the columns lean.
        scale: Factor.
        shift_px: To the right and down.
    """
    cosine, sine, lean = math.cos(radians), math.sin(radians), math.tan(shear_radians)
    # Inverse of scale * [[cos, -sin], [sin, cos]] @ [[1, lean], [0, 1]].
    a, b = (cosine + lean * sine) / scale, (sine - lean * cosine) / scale
    d, e = -sine / scale, cosine / scale
    x, y = size_px[0] / 2, size_px[1] / 2
    from_x, from_y = x + shift_px[0], y + shift_px[1]
    return a, b, x - a * from_x - b * from_y, d, e, y - d * from_x - e * from_y


def jittered(generator: np.random.Generator, image: np.ndarray, jitter: ColourJitter) -> np.ndarray:
    """Other brightness, contrast and saturation; the numbers are those of Pillow's enhancers."""
    strengths = (jitter.brightness, jitter.contrast, jitter.saturation)
    draws = generator.random(3).tolist()
    order = range(3) if jitter.order == "fixed" else generator.permutation(3).tolist()
    pil = to_pil(image, image.shape[-1])
    for index in order:
        if strengths[index]:
            factor = 1 + strengths[index] * (2 * draws[index] - 1)
            pil = Image.blend(_without(pil, index), pil, factor)
    return to_array(pil)


def equalised(
    generator: np.random.Generator, image: np.ndarray, equalisation: Equalisation
) -> np.ndarray:
    """Each channel with an even histogram."""
    del generator, equalisation
    return to_array(ImageOps.equalize(to_pil(image, image.shape[-1])))


def erased(generator: np.random.Generator, image: np.ndarray, erasing: Erasing) -> np.ndarray:
    """Painted over in a rectangle; unchanged where none of the drawn ones fits."""
    height, width, channels = image.shape
    rectangle = _draw_rectangle(
        generator, erasing.area, erasing.ratio, height * width, (height - 1, width - 1)
    )
    if rectangle is None:
        return image
    rows, columns = rectangle
    top = int(generator.integers(height - rows + 1))
    left = int(generator.integers(width - columns + 1))
    paint: Any = _colour(erasing.value, channels)
    if erasing.fill == "mean":
        paint = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
    elif erasing.fill == "random":
        paint = generator.integers(0, 256, (rows, columns, channels), np.uint8)
    result = image.copy()
    result[top : top + rows, left : left + columns] = paint
    return result


CHANGES: dict[type, Callable[[np.random.Generator, np.ndarray, Any], np.ndarray]] = {
    Flip: flipped,
    Rotation: rotated,
    Affine: warped,
    ColourJitter: jittered,
    Equalisation: equalised,
    Erasing: erased,
}


def _draw_rectangle(
    generator: np.random.Generator,
    part: tuple[float, float],
    ratio: tuple[float, float],
    whole_area: int,
    largest: tuple[int, int],
) -> tuple[int, int] | None:
    """First and second side, of a random area and a log-uniform ratio of them, if one fits."""
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(NUM_ATTEMPTS):
        draws = generator.random(2).tolist()
        area = whole_area * (part[0] + (part[1] - part[0]) * draws[0])
        drawn_ratio = math.exp(low + (high - low) * draws[1])
        first, second = round(math.sqrt(area * drawn_ratio)), round(math.sqrt(area / drawn_ratio))
        if 0 < first <= largest[0] and 0 < second <= largest[1]:
            return first, second
    return None


def _random_rectangle(
    generator: np.random.Generator, image: np.ndarray, crop: RandomResizedCrop
) -> np.ndarray:
    height, width = image.shape[:2]
    rectangle = _draw_rectangle(generator, crop.scale, crop.ratio, height * width, (width, height))
    if rectangle is None:  # the largest one in the middle whose ratio is allowed
        ratio = min(max(width / height, crop.ratio[0]), crop.ratio[1])
        columns, rows = min(width, round(height * ratio)), min(height, round(width / ratio))
        top, left = (height - rows) // 2, (width - columns) // 2
    else:
        columns, rows = rectangle
        top = int(generator.integers(height - rows + 1))
        left = int(generator.integers(width - columns + 1))
    return image[top : top + rows, left : left + columns]


def _without(pil: Image.Image, property_index: int) -> Image.Image:
    """The image without brightness (0), contrast (1) or saturation (2)."""
    if property_index == 0:
        return Image.new(pil.mode, pil.size, 0)
    gray = pil.convert("L")
    if property_index == 1:
        gray = Image.new("L", pil.size, int(np.asarray(gray).mean() + 0.5))
    return gray.convert(pil.mode)


def _colour(colour: Colour, channels: int) -> Colour:
    """The colour as Pillow and numpy take it for an image."""
    if isinstance(colour, int):
        return colour if channels == 1 else (colour,) * channels
    if len(colour) != channels:
        raise UsageError(
            f"the colour {colour} is for {len(colour)} channels, images have {channels}"
        )
    return colour
