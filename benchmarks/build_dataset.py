"""Builds a dataset of many small drawn images and prints time and memory as one JSON object.

    python benchmarks/build_dataset.py --images 50000

The memory is the peak of the largest process (`ru_maxrss`): of the command `tdgan-jax prepare`, or
of one of the workers that it starts.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


def main() -> int:
    """Draws the images, builds the dataset, prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--size-px", type=int, default=100)
    parser.add_argument(
        "--dataset", choices=("image_folder", "casia_webface"), default="image_folder"
    )
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "images.zip"
        draw_images(source, args.dataset, args.images, args.people, args.size_px)
        command = [sys.executable, "-m", "tdgan_jax", "prepare", args.dataset]
        command += ["--source", str(source), "--data-dir", str(Path(folder) / "data")]
        if args.dataset == "image_folder":
            command += ["--subject-pattern", "^(p[0-9]+)_"]
        else:
            command += ["--config", "all", "--partial"]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return done.returncode
        figures = {
            "dataset": args.dataset,
            "images": args.images,
            "source_bytes": source.stat().st_size,
            "seconds": round(seconds, 1),
            "images_per_second": round(args.images / seconds),
            # Kibibytes on Linux.
            "peak_bytes_of_a_process": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10,
        }
    print(json.dumps(figures))
    return 0


def draw_images(source: Path, dataset: str, count: int, people: int, size_px: int) -> None:
    """Writes JPEG files of smooth noise, in the layout of one of the two datasets."""
    draw = np.random.default_rng(0)
    size = (size_px, size_px)
    with zipfile.ZipFile(source, "w") as archive:
        for number in range(count):
            coarse = Image.fromarray(draw.integers(0, 256, (13, 13, 3), dtype=np.uint8))
            person = number % people
            name = f"{CLASSES[number % 7]}/p{person:03d}_{number}.jpg"
            if dataset == "casia_webface":
                name = f"{person:07d}/{number // people:03d}.jpg"
            with archive.open(name, "w") as file:
                coarse.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)


if __name__ == "__main__":
    raise SystemExit(main())
