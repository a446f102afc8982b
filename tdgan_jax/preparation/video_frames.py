"""Single frames of the videos of a dataset, read with PyAV: the extra `video`."""

import io
from collections.abc import Callable, Sequence

from PIL import Image

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.data.video_files import NoVideoReader, decoded_frames, image_of
from tdgan_jax.errors import UserError


def read_frames(data: bytes, choose: Callable[[int], Sequence[int]]) -> list[Image.Image]:
    """Decodes some frames of a video, each as a player shows it.

    Args:
        data: Content of the video file.
        choose: Gives the numbers of the wanted frames, from 0, when told how many there are.

    Returns:
        The frames in the order in which they were asked for, of mode `RGB`.

    Raises:
        BadImage: If the video is damaged or has fewer frames than asked for.
        UserError: If PyAV is not installed.
    """
    try:
        # Decoded twice, for the length in the header is a guess and all frames would fill memory.
        count = sum(1 for _ in decoded_frames(io.BytesIO(data)))
        wanted = list(choose(count))
        found = {
            frame.number: image_of(frame)
            for frame in decoded_frames(io.BytesIO(data))
            if frame.number in wanted
        }
    except NoVideoReader as error:
        raise UserError(str(error)) from error
    except BadImage as error:
        raise BadImage(f"not a readable video ({error})") from error
    missing = [number for number in wanted if number not in found]
    if missing:
        raise BadImage(f"the video has {count} frames; frame {missing[0]} is wanted")
    return [found[number] for number in wanted]
