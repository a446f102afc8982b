"""Image processing of training and inference (specs TDGAN 6.2, IF-GAN 8), one place for all.

Images are uint8 `[H, W, C]` in 0..255; C is 1 (gray) or 3.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from tdgan_jax.errors import UsageError

# The papers cut 128 out of a shorter side of 144; other sizes keep the ratio.
CROP_MARGIN = 144 / 128
# IF-GAN cuts 224 out of a square of 256.
SQUARE_MARGIN = 256 / 224
# Of evaluated images: the whole image, or its middle at the scale of the training (TDGAN's, or
# IF-GAN's squares).
TEST_TRANSFORMS = ("resize", "centre_crop", "square_centre_crop")


class Augmentation(NamedTuple):
    """What is changed at random in a training image, besides the place of the crop and the flip.

    Attributes:
        rotation_degrees: Largest angle, 0 to 45; 0: none.
        contrast: Largest relative change of the contrast, and largest change of the brightness as a
            part of the value range, 0 to 1; 0: none.
        erased_side: Largest side of the square that is painted gray, as a part of the image's, 0 to
            1; half of the images keep all their pixels; 0: none.
    """

    rotation_degrees: float = 0.0
    contrast: float = 0.0
    erased_side: float = 0.0


def check_augmentation(augmentation: Augmentation) -> None:
    """Refuses values out of range.

    Raises:
        UsageError: Names the field of the configuration.
    """
    for (field, value), largest in zip(augmentation._asdict().items(), (45, 1, 1), strict=True):
        if not 0 <= value <= largest:
            raise UsageError(f"data.augmentation.{field} must be in [0, {largest}], got {value}")


def to_pil(image: np.ndarray, channels: int) -> Image.Image:
    """An array as a Pillow image in gray (0.299 R + 0.587 G + 0.114 B) or RGB."""
    pil = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return pil.convert("L" if channels == 1 else "RGB")


def to_array(image: Image.Image) -> np.ndarray:
    """A gray or RGB Pillow image as uint8 `[H, W, C]`."""
    array = np.asarray(image, np.uint8)
    return array[..., None] if array.ndim == 2 else array


def resize_exactly(image: np.ndarray, size_px: int, channels: int) -> np.ndarray:
    """Resizes to `[size_px, size_px, channels]`, bilinear with antialiasing."""
    pil = to_pil(image, channels)
    return to_array(pil.resize((size_px, size_px), Image.Resampling.BILINEAR))


def resize_shorter_side(image: np.ndarray, size_px: int, channels: int) -> np.ndarray:
    """Resizes so that the shorter side is 144/128 of `size_px`, keeping the aspect ratio."""
    pil = to_pil(image, channels)
    factor = round(size_px * CROP_MARGIN) / min(pil.size)
    width, height = (round(side * factor) for side in pil.size)
    return to_array(pil.resize((width, height), Image.Resampling.BILINEAR))


def resize_square(image: np.ndarray, size_px: int, channels: int) -> np.ndarray:
    """Resizes to a square of 256/224 of `size_px`, whatever the aspect ratio (spec IF-GAN 8)."""
    return resize_exactly(image, round(size_px * SQUARE_MARGIN), channels)


def centre_crop(image: np.ndarray, size_px: int) -> np.ndarray:
    """Cuts `[size_px, size_px, C]` out of the middle."""
    top = (image.shape[0] - size_px) // 2
    left = (image.shape[1] - size_px) // 2
    return image[top : top + size_px, left : left + size_px]


def transform_for_test(
    image: np.ndarray, *, test_transform: str, size_px: int, channels: int
) -> np.ndarray:
    """Brings an image to `[size_px, size_px, channels]` as one of `TEST_TRANSFORMS` says."""
    if test_transform == "resize":
        return resize_exactly(image, size_px, channels)
    if test_transform == "square_centre_crop":
        return centre_crop(resize_square(image, size_px, channels), size_px)
    return centre_crop(resize_shorter_side(image, size_px, channels), size_px)


def random_crop_and_flip(
    generator: np.random.Generator, image: np.ndarray, size_px: int
) -> np.ndarray:
    """Cuts `[size_px, size_px, C]` at a random place and mirrors it with probability 1/2."""
    top = generator.integers(image.shape[0] - size_px + 1)
    left = generator.integers(image.shape[1] - size_px + 1)
    crop = image[top : top + size_px, left : left + size_px]
    return crop[:, ::-1] if generator.integers(2) else crop


def rotated(image: np.ndarray, degrees: float) -> np.ndarray:
    """Turns an image counter-clockwise about its middle, bilinear; its edge goes on outwards."""
    margin = max(image.shape[:2]) // 4  # more than what small angles bring in
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    turned = to_pil(padded, image.shape[-1]).rotate(degrees, Image.Resampling.BILINEAR)
    height, width = image.shape[:2]
    return to_array(turned)[margin : margin + height, margin : margin + width]


def augmented(
    generator: np.random.Generator, image: np.ndarray, size_px: int, augmentation: Augmentation
) -> np.ndarray:
    """Cuts `[size_px, size_px, C]` at a random place, flips it, and changes it as asked.

    What is switched off draws nothing: other settings leave crop and flip as they are.
    """
    image = random_crop_and_flip(generator, image, size_px)
    if augmentation.rotation_degrees:
        image = rotated(image, generator.uniform(-1, 1) * augmentation.rotation_degrees)
    if augmentation.contrast:
        gain, offset = 1 + generator.uniform(-1, 1, size=2) * augmentation.contrast
        values = image.astype(np.float32)
        mean = values.mean()
        changed = (values - mean) * gain + mean + 255 * (offset - 1)
        image = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    if augmentation.erased_side and generator.integers(2):
        image = _erased(generator, image, augmentation.erased_side)
    return image


def _erased(generator: np.random.Generator, image: np.ndarray, largest_side: float) -> np.ndarray:
    """Random erasing (Zhong et al., AAAI 2020) with squares and the image's mean."""
    side = round(generator.uniform(0.25, 1) * largest_side * image.shape[0])
    top, left = generator.integers(image.shape[0] - side + 1, size=2)
    painted = image.copy()
    painted[top : top + side, left : left + side] = round(float(image.mean()))
    return painted
