"""What a training pays for the number of its examples: opening, the feed, the start of an epoch.

    python -m benchmarks.many_examples --examples 10000 400000

Writes datasets of one small image and many labels as `tdgan-jax prepare` leaves them, and opens
each as a training does. Decoding is no part of it: it costs the same for every image. One JSON
object goes to stdout; the fields of a point:

    open_seconds         opening the dataset and reading its labels
    feed_seconds         making the source of the batches
    first_batch_seconds  from the begin of an epoch to its first batch
    batch_seconds        each of the next batches
    memory_bytes         by how much the process has grown since before the dataset was opened
"""

import argparse
import contextlib
import io
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from benchmarks.measuring import print_measurement, say
from tdgan_jax.configuration import load_config
from tdgan_jax.data.examples import load_examples
from tdgan_jax.data.label_columns import write_columns
from tdgan_jax.data.loading import training_transform
from tdgan_jax.errors import UsageError
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.families.family import Parts
from tdgan_jax.families.known import family_named
from tdgan_jax.preparation.image_features import image_example, image_features
from tdgan_jax.preparation.listing import ListedImage

CONFIG = "configs/classifier_synthetic.py"
SIZE_PX, PEOPLE, TIMED_BATCHES = 8, 500, 20


class ManyImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One image so many times, with all labels and names of its own."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, count: int, **kwargs: Any):
        """Takes the number of examples and the arguments of other builders."""
        self.count = count
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        features = image_features(
            channels=1,
            expression_names=BASIC_EXPRESSIONS,
            identity_names=[f"{i:03d}" for i in range(PEOPLE)],
            has_votes=False,
            other_votes=(),
            has_affect=False,
            has_test_split=False,
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        noise = np.random.default_rng(0).integers(256, size=(SIZE_PX, SIZE_PX), dtype=np.uint8)
        encoded = io.BytesIO()
        Image.fromarray(noise).save(encoded, "PNG")
        names = {"expression", "identity", "subject", "file", "image"}
        for number in range(self.count):
            person = number % PEOPLE
            listed = ListedImage(
                name="",
                file=f"{person:03d}/{number:07d}.png",
                expression=BASIC_EXPRESSIONS[number % len(BASIC_EXPRESSIONS)],
                identity=f"{person:03d}",
                subject=f"{person:03d}",
            )
            example = image_example(listed, encoded.getvalue(), duplicated_in_train=False)
            yield number, {name: example[name] for name in names}


def resident_bytes() -> int:
    """Memory of this process at the moment; Linux alone can tell."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure_point(count: int, folder: Path) -> dict[str, Any]:
    """Writes a dataset of so many examples and times what a training does with it."""
    say(f"writing {count} examples")
    builder = ManyImages(count, data_dir=str(folder), file_format="array_record")
    with contextlib.redirect_stdout(sys.stderr):  # where it says what it does
        builder.download_and_prepare()
    write_columns(builder)
    config = load_config(CONFIG)
    family, memory = family_named(config.family), resident_bytes()

    times = [time.perf_counter()]
    opened = ManyImages(count, data_dir=str(folder), file_format="array_record")
    examples = load_examples(opened, "train", training_transform(config))
    times.append(time.perf_counter())
    # Images stay on disk, as those of a set of this size do.
    config.data.memory_limit_bytes = 0
    feed = family.feed(config, Parts(examples, None, examples), None)
    times.append(time.perf_counter())
    batches = feed.batches(0)
    next(batches)
    times.append(time.perf_counter())
    for _ in itertools.islice(batches, TIMED_BATCHES):
        pass
    times.append(time.perf_counter())
    open_seconds, feed_seconds, first, rest = np.diff(times).tolist()
    return {
        "examples": count,
        "open_seconds": open_seconds,
        "feed_seconds": feed_seconds,
        "first_batch_seconds": first,
        "batch_seconds": rest / TIMED_BATCHES,
        "memory_bytes": resident_bytes() - memory,
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measures each number of examples.

    Raises:
        UsageError: If there are fewer examples than the batches that are timed.
    """
    config = load_config(CONFIG)
    least = (TIMED_BATCHES + 1) * config.training.batch_size
    if min(args.examples) < least:
        raise UsageError(f"--examples must be at least {least}")
    tfds.disable_progress_bar()
    points = []
    for count in (least, *args.examples):  # the first imports what the others use, and is left out
        with tempfile.TemporaryDirectory() as folder:
            points.append(measure_point(count, Path(folder)))
    return {"config": config.name, "batch_size": config.training.batch_size, "points": points[1:]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Measures what the number of examples costs.")
    parser.add_argument("--examples", type=int, nargs="+", default=[10_000, 400_000], metavar="N")
    args = parser.parse_args(arguments)
    return print_measurement("many_examples.py", lambda: measure(args))


if __name__ == "__main__":
    sys.exit(main())
