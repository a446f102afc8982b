"""Whole photographs in, one record a face out."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from tdgan_jax.data.image_files import BadImage, upright
from tdgan_jax.errors import UsageError
from tdgan_jax.inference import faces
from tdgan_jax.inference.inputs import InputFile, Picture, files_of_path, read_pictures
from tdgan_jax.inference.recognition import recognise
from tdgan_jax.inference.records import Records

if TYPE_CHECKING:
    from tdgan_jax.families.capabilities import Model

# A path, a Pillow image, an array [H, W] or [H, W, C], or several of them; an array [N, H, W, C].
Photos: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray | Iterable[Any]"

COLORS = ("rgb", "bgr")
_BATCH_SIZE = 32


def analyse(
    model: "Model",
    photos: Photos,
    *,
    detect: str = "mtcnn",
    color: str = "rgb",
    smallest_face: float | None = None,
) -> Records:
    """Finds the faces of photographs and recognises their expressions, as `predict` does.

    Args:
        model: The recogniser.
        photos: One or several: paths of pictures, videos or folders, Pillow images, arrays
            `[H, W, C]` or `[H, W]`, uint8 or floats in [0, 1], C = 1, 3 or 4; or one array
            `[N, H, W, C]`.
        detect: `mtcnn`, or `none` where each picture is a face that has been cut out already.
        color: Order of the channels in arrays: `rgb`, or `bgr` as OpenCV has them.
        smallest_face: The smallest face that is looked for: in pixels, or below 1 as a share of
            the shorter side of the picture. By default 0.05 of it, 24 pixels at least.

    Returns:
        At least one record a photograph or frame, in their order. What cannot be read is a record
        with the reason.

    Raises:
        UsageError: If something is no photograph, or an option is unknown.
    """
    if color not in COLORS:
        raise UsageError(f"color is {color!r}; known: {', '.join(COLORS)}")
    search = faces.face_search(detect, model.face_crop, faces.smallest_face(smallest_face))
    each = _each(photos)

    def pictures(reader: Executor) -> Iterator[Picture]:
        return read_pictures(_sources(each, color == "bgr"), reader)

    found = recognise(pictures, model, search, batch_size=_BATCH_SIZE)
    records = (record for recognised in found for record in recognised.records)
    return Records(records, model.expression_names)


def _each(photos: Photos) -> Iterable[Any]:
    if isinstance(photos, str | os.PathLike | Image.Image):
        return [photos]
    if isinstance(photos, np.ndarray):
        return list(photos) if photos.ndim == 4 else [photos]
    if not isinstance(photos, Iterable):
        raise UsageError(f"{type(photos).__name__} is no photograph; give paths, images or arrays")
    return photos


def _sources(photos: Iterable[Any], is_bgr: bool) -> Iterator[InputFile | Callable[[], Picture]]:
    for number, photo in enumerate(photos):
        if isinstance(photo, str | os.PathLike):
            yield from files_of_path(os.fspath(photo))
        elif isinstance(photo, Image.Image):
            yield partial(_from_pillow, number, photo)
        else:
            yield partial(_from_array, number, _checked(photo), is_bgr)


def _from_pillow(number: int, image: Image.Image) -> Picture:
    try:
        # A copy: the caller's image stays as it is.
        return Picture(None, number, None, upright(image.copy(), channels=3))
    except BadImage as error:
        reason = str(error)
    except Exception as error:  # Pillow's readers raise almost anything on damaged data.
        reason = f"not a readable image ({error})"
    return Picture(None, number, None, None, reason)


def _checked(photo: Any) -> np.ndarray:
    array = np.asarray(photo)
    has_channels = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    is_known = array.dtype == np.uint8 or np.issubdtype(array.dtype, np.floating)
    if not (has_channels and is_known and array.size):
        raise UsageError(
            f"an array of shape {array.shape} and type {array.dtype} is no photograph; give uint8 "
            "or floats in [0, 1], [H, W] or [H, W, C] with C = 1, 3 or 4, or several as "
            "[N, H, W, C]"
        )
    return array


def _from_array(number: int, array: np.ndarray, is_bgr: bool) -> Picture:
    if array.dtype != np.uint8:
        if not (array.min() >= 0 and array.max() <= 1):  # also if one of them is not a number
            raise UsageError("floats of a photograph must lie in [0, 1]; give uint8 for 0 to 255")
        array = np.rint(array * 255).astype(np.uint8)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    elif array.ndim == 3 and is_bgr:
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    image = Image.fromarray(np.ascontiguousarray(array))
    return Picture(None, number, None, upright(image, channels=3))
