"""Times the face detector, and counts the faces it finds in a set of photographs.

    python benchmarks/face_detection.py --threads 2 --source yalefaces.zip

Without a source the photographs are drawn: 320x243 pixels, one face each. Where package `mtcnn` and
TensorFlow are installed, `--package` times them on the same photographs. `README.md` beside this
file explains the fields of the JSON object on stdout.
"""

import argparse
import io
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from tdgan_jax.data_builders.synthetic_faces.drawing import draw
from tdgan_jax.data_builders.synthetic_faces.factors import sample_expression, sample_identity

from benchmarks.contact_sheet import STUDIO
from tdgan_jax.data.image_files import BadImage, opened, upright
from tdgan_jax.faces import detection
from tdgan_jax.faces.detection import Detector
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.preparation.source_tree import SourceTree

if __package__:
    from benchmarks.measuring import print_measurement, use_threads
else:  # Run as a script: this folder is on the path, the repository's root need not be.
    from measuring import print_measurement, use_threads

SIZE_PX = (320, 243)
PROGRAMS = (detection._run_p_net, detection._run_r_net, detection._run_o_net)


def drawn_photographs(number: int) -> dict[str, np.ndarray]:
    """Draws faces on a light wall.

    Args:
        number: How many.

    Returns:
        uint8 `[243, 320]` by name.
    """
    photographs = {}
    for person in range(number):
        expression = sample_expression(person, "happiness", 0)
        gray = draw(sample_identity(person), expression, STUDIO, seed=(person,))
        photograph = Image.new("L", SIZE_PX, 200)
        photograph.paste(Image.fromarray(gray).resize((190, 190)), (70, 40))
        photographs[f"person {person}"] = np.asarray(photograph)
    return photographs


def read_photographs(source: str) -> dict[str, np.ndarray]:
    """Reads all pictures of a folder or zip file.

    Args:
        source: Its path.

    Returns:
        uint8 `[H, W, 3]` or gray `[H, W]` by name.
    """
    photographs = {}
    with SourceTree(source) as tree:
        for name in tree.names:
            try:
                with opened(io.BytesIO(tree.read(name))) as image:
                    colour = np.asarray(upright(image, channels=3))
            except BadImage as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            is_gray = (colour == colour[..., :1]).all()
            photographs[name] = colour[..., 0] if is_gray else colour
    return photographs


def time_detector(
    detect: Callable[[np.ndarray], Sequence[Any]], photographs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Runs a detector over photographs.

    Args:
        detect: Gives the faces of one.
        photographs: The photographs by name.

    Returns:
        Speed, and how many photographs show one face; the others by name.
    """
    one_of_each_size = {photograph.shape: photograph for photograph in photographs.values()}
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        for photograph in one_of_each_size.values():
            detect(photograph)
        seconds.append(time.perf_counter() - start)
    start, start_cpu = time.perf_counter(), time.process_time()
    counts = {name: len(detect(photograph)) for name, photograph in photographs.items()}
    passed, passed_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return {
        "images": len(photographs),
        "images_per_second": len(photographs) / passed,
        "images_per_cpu_second": len(photographs) / passed_cpu,
        "compile_seconds": seconds[0] - seconds[1],
        "images_by_number_of_faces": dict(sorted(Counter(counts.values()).items())),
        "not_one_face": {name: count for name, count in counts.items() if count != 1},
    }


def time_package(photographs: Mapping[str, np.ndarray], threads: int) -> dict[str, Any] | None:
    """Times package `mtcnn` under TensorFlow.

    Args:
        photographs: The photographs by name.
        threads: Threads of TensorFlow.

    Returns:
        What `time_detector` gives, or None where the package is not installed.
    """
    try:
        import tensorflow  # type: ignore[import-not-found]
        from mtcnn import MTCNN  # type: ignore[import-not-found]
    except ImportError:
        return None
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    detector = MTCNN()

    def detect(photograph: np.ndarray) -> Sequence[Any]:
        is_gray = photograph.ndim == 2
        return detector.detect_faces(
            np.repeat(photograph[..., None], 3, axis=2) if is_gray else photograph
        )

    return time_detector(detect, photographs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Times the face detector.")
    parser.add_argument("--source", metavar="PATH", help="folder or zip file of photographs")
    parser.add_argument("--images", type=int, default=20, help="drawn photographs (default: 20)")
    parser.add_argument("--min-face-size", type=int, default=20, help="pixels (default: 20)")
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--package", action="store_true", help="time package mtcnn as well")
    args = parser.parse_args(arguments)
    return print_measurement("face_detection.py", lambda: measure(args))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Times the detector on the photographs that the command line names.

    Args:
        args: The command line.

    Returns:
        The object that is printed.

    Raises:
        UserError: If the photographs cannot be read, or there are not as many cores.
    """
    threads = use_threads(args.threads)
    photographs = read_photographs(args.source) if args.source else drawn_photographs(args.images)
    detector = Detector(min_face_size_px=args.min_face_size)
    result = {
        "threads": threads,
        "min_face_size_px": args.min_face_size,
        **time_detector(detector.detect, photographs),
        "programs": sum(program._cache_size() for program in PROGRAMS),
    }
    if args.package:
        result["package_mtcnn"] = time_package(photographs, threads)
    return result


if __name__ == "__main__":
    restart_with_huge_pages()  # as the program does
    sys.exit(main())
