"""Times the feeds of training batches: decoded images in memory to batches on the device.

    python -m benchmarks.input_pipeline

The images are random, of the sizes of the papers' configurations: TDGAN's pairs of 128x128 gray
pixels, cropped from larger ones and mirrored, and IF-GAN's 224x224 colour images, which are turned
as well. A feed must make images faster than the step of the same system consumes them.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.measuring import print_measurement, use_threads
from benchmarks.random_inputs import NUM_EXPRESSIONS, random_examples
from tdgan_jax.data.feeds import Feed
from tdgan_jax.errors import UsageError
from tdgan_jax.families.ifgan.average_feed import AverageFaceFeed
from tdgan_jax.families.ifgan.average_identity import AverageFaces
from tdgan_jax.families.tdgan.pair_feed import PairFeed
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.steps.parallel import check_batch_size, make_mesh, shard_batch

# Sides of the decoded images and of what the networks see.
TDGAN_SIZES_PX, IFGAN_SIZES_PX = (144, 128), (256, 224)


def tdgan_feed(count: int, batch_size: int) -> Feed:
    """TDGAN's pairs, with the papers' crop and mirroring."""
    decoded, seen = TDGAN_SIZES_PX
    examples = random_examples(count, decoded, 1)
    return PairFeed(examples, examples, image_size_px=seen, batch_size=batch_size, seed=0)


def ifgan_feed(count: int, batch_size: int) -> Feed:
    """IF-GAN's images with their average faces."""
    decoded, seen = IFGAN_SIZES_PX
    examples = random_examples(count, decoded, 3)
    faces = AverageFaces(
        images=np.stack(examples.images[:NUM_EXPRESSIONS]),
        counts=np.full(NUM_EXPRESSIONS, count),
        names=examples.expression_names,
        checksum="",
    )
    return AverageFaceFeed(examples, faces, image_size_px=seen, batch_size=batch_size, seed=0)


def images_per_second(feed: Feed, repeats: int) -> float:
    """Examples a second over an epoch, the last array on the device; the best of the epochs."""
    mesh = make_mesh()
    best = 0.0
    for epoch in range(repeats + 1):
        start = time.perf_counter()
        count = 0
        for batch in feed.batches(epoch):
            jax.block_until_ready(shard_batch(batch, mesh))
            count += feed.batch_size
        if epoch:  # the first one warms up
            best = max(best, count / (time.perf_counter() - start))
    return best


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Times both feeds.

    Raises:
        UserError: If the request is impossible.
    """
    if args.repeats < 1 or not 1 <= args.batch_size <= args.images:
        raise UsageError("--repeats and --batch-size must be at least 1, --images a batch")
    threads = use_threads(args.threads)
    check_batch_size(args.batch_size, make_mesh())
    feeds = {"tdgan": tdgan_feed, "ifgan": ifgan_feed}
    return {
        "batch_size": args.batch_size,
        "threads": threads,
        "images_per_second": {
            name: images_per_second(make(args.images, args.batch_size), args.repeats)
            for name, make in feeds.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Times the feeds of training batches.")
    parser.add_argument("--images", type=int, default=512, help="in an epoch (default: 512)")
    parser.add_argument("--batch-size", type=int, default=32, help="default: 32")
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="timed epochs (default: 3)")
    args = parser.parse_args(arguments)
    return print_measurement("input_pipeline.py", lambda: measure(args))


if __name__ == "__main__":
    restart_with_huge_pages()  # as the program does
    sys.exit(main())
