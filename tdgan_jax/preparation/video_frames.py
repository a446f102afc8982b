"""Single frames of videos, read with PyAV: the extra `video`, imported when a video is met."""

import io
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from tdgan_jax.data.image_files import BadImage, check_size
from tdgan_jax.errors import UserError


def read_frames(data: bytes, choose: Callable[[int], Sequence[int]]) -> list[Image.Image]:
    """Decodes some frames of a video.

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
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError as error:
        raise UserError("reading videos needs PyAV: pip install 'tdgan-jax[video]'") from error
    opened: Any = av.open  # typed as a container that may be for writing
    try:
        # Decoded twice, for the length in the header is a guess and all frames would fill memory.
        with opened(io.BytesIO(data)) as video:
            stream = video.streams.video[0]
            check_size(stream.width, stream.height)
            count = sum(1 for _ in video.decode(stream))
        wanted = list(choose(count))
        with opened(io.BytesIO(data)) as video:
            found = {
                number: frame.to_image()
                for number, frame in enumerate(video.decode(video.streams.video[0]))
                if number in wanted
            }
    except (FFmpegError, IndexError, ValueError, MemoryError) as error:
        raise BadImage(f"not a readable video ({error})") from error
    missing = [number for number in wanted if number not in found]
    if missing:
        raise BadImage(f"the video has {count} frames; frame {missing[0]} is wanted")
    return [found[number] for number in wanted]
