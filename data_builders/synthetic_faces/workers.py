"""Draws the pictures of a split on several processor cores.

Drawing is many small numpy operations, which threads cannot share out. The workers are programs
of their own rather than `multiprocessing` children: nothing is forked (JAX's threads would not
survive it), and nothing asks that the caller's script can be imported again, so a notebook, a
heredoc and a test can all build the dataset. Run as a program this file is one worker: it draws
every n-th picture and writes each to standard output as a length and the PNG.
"""

import io
import os
import pathlib
import struct
import subprocess
import sys
from collections.abc import Generator

import numpy as np
from PIL import Image

import tdgan_jax
from tdgan_jax.machine import usable_cores

from .drawing import draw
from .factors import (
    PROTOTYPES,
    Picture,
    factor_values,
    pictures,
    sample_expression,
    sample_identity,
    sample_nuisance,
    sample_style,
)

_ABOVE_PACKAGE = pathlib.Path(tdgan_jax.__file__).resolve().parents[1]
_LENGTH = struct.Struct("<I")


def picture_factors(picture: Picture) -> np.ndarray:
    """All factors of a picture.

    Args:
        picture: which picture.

    Returns:
        float32 `[len(FACTOR_NAMES)]`.
    """
    return factor_values(
        sample_identity(picture.identity),
        sample_style(picture.identity),
        sample_expression(*picture),
        sample_nuisance(*picture),
    )


def draw_picture(picture: Picture, image_size_px: int) -> np.ndarray:
    """Draws a picture from the integers that it is a function of.

    Args:
        picture: which picture.
        image_size_px: 128 or 64.

    Returns:
        uint8 `[image_size_px, image_size_px]`, gray.
    """
    number = sorted(PROTOTYPES).index(picture.expression)
    return draw(
        sample_identity(picture.identity),
        sample_expression(*picture),
        sample_nuisance(*picture),
        image_size_px=image_size_px,
        seed=(picture.identity, number, picture.sample),
    )


def encode_png(gray: np.ndarray) -> bytes:
    """Encodes a gray image.

    Args:
        gray: uint8 `[H, W]`.

    Returns:
        The PNG file.
    """
    file = io.BytesIO()
    Image.fromarray(gray).save(file, format="PNG", compress_level=4)
    return file.getvalue()


def draw_split(
    split: str, image_size_px: int, *, num_workers: int | None = None
) -> Generator[tuple[Picture, bytes], None, None]:
    """Draws all pictures of a split.

    Args:
        split: a key of `SPLITS`.
        image_size_px: 128 or 64.
        num_workers: number of processes; 0 draws in this one, None takes one per core.

    Yields:
        Each picture with its PNG, in the order of `pictures`.

    Raises:
        RuntimeError: a worker stopped early.
    """
    if num_workers is None:
        num_workers = min(usable_cores(), 16)
    if num_workers == 0:
        for picture in pictures(split):
            yield picture, encode_png(draw_picture(picture, image_size_px))
        return
    paths = (str(_ABOVE_PACKAGE), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",
    }
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tdgan_jax.data_builders.synthetic_faces.workers"),
                *(split, str(image_size_px), str(worker), str(num_workers)),
            ],
            stdout=subprocess.PIPE,
            env=environment,
        )
        for worker in range(num_workers)
    ]
    try:
        for number, picture in enumerate(pictures(split)):
            yield picture, _read_png(workers[number % num_workers])
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _read_png(worker: subprocess.Popen[bytes]) -> bytes:
    assert worker.stdout is not None
    header = worker.stdout.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise RuntimeError(
            f"a drawing process stopped early with exit code {worker.wait()}; "
            "its message stands above"
        )
    return worker.stdout.read(*_LENGTH.unpack(header))


def _main(split: str, image_size_px: str, worker: str, num_workers: str) -> None:
    for number, picture in enumerate(pictures(split)):
        if number % int(num_workers) == int(worker):
            png = encode_png(draw_picture(picture, int(image_size_px)))
            sys.stdout.buffer.write(_LENGTH.pack(len(png)) + png)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
