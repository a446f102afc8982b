"""Decodes and checks image files on all processor cores.

Like the workers that draw faces, these are programs of their own rather than `multiprocessing`
children: nothing is forked (JAX's threads would not survive it), and nothing asks that the
caller's script can be imported again. Run as a program this file is one worker: it reads pickled
batches of image files from standard input and writes what became of them to standard output.
Both ends of the pipe are this file, so that the pickles are trusted.
"""

import collections
import itertools
import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

from PIL import Image

from tdgan_jax.data.image_files import (
    BadImage,
    FaceImage,
    NoFaceImage,
    StoredImage,
    encode_jpeg,
    read_image,
)
from tdgan_jax.machine import usable_cores
from tdgan_jax.preparation.owners_boxes import OwnersBox, cut_out

if TYPE_CHECKING:
    from tdgan_jax.faces.preparation import Cropping

_REPOSITORY = Path(__file__).resolve().parents[2]
_BATCH = 16
# Starting a worker takes half a second, which a small set does not repay.
_FEW_IMAGES = 500
# So many keep up with what one process can read and write.
_MOST_WORKERS = 32

_Item = TypeVar("_Item")


class Reading(NamedTuple):
    """How image files are to be read: the arguments of `read_image`, and whether faces are cut out.

    Attributes:
        channels: 1 (gray) or 3 (RGB).
        size_px: Width and height that the files must have; any by default.
        keep_encoding: Whether a file that is what is wanted stays as it is.
        cropping: How the face is cut out of each photograph; the whole image is taken by default,
            or what is in its owner's box.
        largest_side_px: To which a face that is cut out by its owner's box is shrunk.
    """

    channels: int
    size_px: tuple[int, int] | None = None
    keep_encoding: bool = True
    cropping: "Cropping | None" = None
    largest_side_px: int | None = None


def _without_box(item: object) -> None:
    """Nothing is known of where the face is."""
    del item


def read_images(
    files: Iterable[tuple[_Item, bytes]],
    reading: Reading,
    *,
    num_images: int,
    num_workers: int | None = None,
    box_of: Callable[[_Item], OwnersBox | None] = _without_box,
) -> Iterator[tuple[_Item, StoredImage | FaceImage | BadImage]]:
    """Reads image files, a bounded number of them at a time.

    Args:
        files: Anything that the caller knows a file by, and the file's content.
        reading: What is wanted of the images.
        num_images: About how many files there are.
        num_workers: Number of processes; 0 reads in this one, None takes one a core for more than
            a few hundred images.
        box_of: Where in the image the face is, as its owner says; None for the whole image.

    Yields:
        For every file, in order, the caller's item and the image or what is wrong with it; where
        faces are cut out, a `FaceImage` or a `NoFaceImage`.

    Raises:
        RuntimeError: If a worker stopped early.
    """
    if num_workers is None:
        num_workers = min(usable_cores(), _MOST_WORKERS) if num_images >= _FEW_IMAGES else 0
    if num_workers < 2:
        for item, data in files:
            yield item, _read(data, box_of(item), reading)
        return
    workers = [_start_worker(reading) for _ in range(num_workers)]
    idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)
    pool = ThreadPoolExecutor(num_workers)
    pending: collections.deque[tuple[list[_Item], Future[Any]]] = collections.deque()
    try:
        while batch := list(itertools.islice(files := iter(files), _BATCH)):
            contents = tuple((data, box_of(item)) for item, data in batch)
            pending.append(([item for item, _ in batch], pool.submit(_ask, idle, contents)))
            if len(pending) >= 2 * num_workers:
                yield from _answered(pending.popleft())
        while pending:
            yield from _answered(pending.popleft())
    finally:
        for worker in workers:
            worker.kill()
        pool.shutdown(cancel_futures=True)
        for worker in workers:
            worker.communicate()


def _answered(asked: tuple[list[_Item], Future[Any]]) -> Iterator[tuple[_Item, Any]]:
    items, future = asked
    return zip(items, future.result(), strict=True)


def _ask(
    idle: "queue.SimpleQueue[subprocess.Popen[bytes]]",
    contents: tuple[tuple[bytes, OwnersBox | None], ...],
) -> Any:
    worker = idle.get()
    assert worker.stdin is not None and worker.stdout is not None
    try:
        pickle.dump(contents, worker.stdin)
        worker.stdin.flush()
        answer = pickle.load(worker.stdout)
    except (EOFError, OSError, pickle.UnpicklingError) as error:
        raise RuntimeError(
            f"an image worker stopped early with exit code {worker.wait()}; "
            "its message, if any, stands above"
        ) from error
    finally:
        # A dead one too: the next user of it must not wait for ever.
        idle.put(worker)
    return answer


def _start_worker(reading: Reading) -> subprocess.Popen[bytes]:
    paths = (str(_REPOSITORY), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",
        # One core for each worker, also where it looks for faces; accelerators stay free.
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false",
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "tdgan_jax.preparation.image_workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert worker.stdin is not None
    pickle.dump(tuple(reading), worker.stdin)
    return worker


def _read(
    data: bytes, box: OwnersBox | None, reading: Reading
) -> StoredImage | FaceImage | BadImage:
    arguments = reading._asdict()
    cropping, largest_side_px = arguments.pop("cropping"), arguments.pop("largest_side_px")
    try:
        if cropping is not None:
            return _read_face(data, arguments, cropping)
        if box is not None:
            cut = partial(cut_out, box=box, largest_side_px=largest_side_px)
            return read_image(data, **arguments, edit=cut, encode=encode_jpeg)
        return read_image(data, **arguments)
    except BadImage as error:
        return error


def _read_face(data: bytes, arguments: dict[str, Any], cropping: "Cropping") -> FaceImage:
    # Loads JAX, which only those who look for faces need.
    from tdgan_jax.faces.preparation import NoFace, cut_out_face

    found = []

    def edit(photograph: Image.Image) -> Image.Image:
        found.append(cut_out_face(photograph, cropping))
        return found[0].image

    try:
        stored = read_image(data, **arguments, edit=edit)
    except NoFace as error:
        raise NoFaceImage(str(error)) from error
    return FaceImage(stored, found[0].num_faces, found[0].taken)


def _main(requests: IO[bytes], answers: IO[bytes]) -> None:
    read = partial(_read, reading=Reading(*pickle.load(requests)))
    while True:
        try:
            contents = pickle.load(requests)
        except EOFError:
            return
        pickle.dump([read(data, box) for data, box in contents], answers)
        answers.flush()


if __name__ == "__main__":
    _main(sys.stdin.buffer, sys.stdout.buffer)
