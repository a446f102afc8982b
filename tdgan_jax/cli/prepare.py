"""`tdgan-jax prepare`: builds a dataset from what the user downloaded."""

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdgan_jax.data.builders import DatasetBuilder


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` gave.

    Returns:
        The parser of this command.
    """
    parser = subparsers.add_parser(
        "prepare",
        help="build a dataset from what you downloaded",
        description="Builds a dataset in TFDS's format from the folder or zip file that its owner "
        "hands out. data_builders/DATASET/README.md says where to get it.",
        epilog="example: tdgan-jax prepare fer2013 --source ~/Downloads/fer2013.zip",
    )
    parser.add_argument("dataset", metavar="DATASET", help="name of the dataset, e.g. fer2013")
    parser.add_argument(
        "--source", metavar="PATH", help="folder or zip file with the owner's files"
    )
    parser.add_argument(
        "--config", metavar="NAME", help="variant of the dataset (default: its first one)"
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where datasets are kept (default: $TFDS_DATA_DIR, else ~/tensorflow_datasets)",
    )
    parser.add_argument(
        "--on-bad-file",
        choices=("stop", "skip"),
        default="stop",
        help="at a damaged or missing file: stop, or skip it and list it in skipped_files.csv "
        "(default: stop)",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="accept a source whose counts differ from the documented ones",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the dataset if it is prepared already"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def run(args: argparse.Namespace) -> int:
    """Prepares the dataset and prints its splits with the counts per class.

    Args:
        args: The parsed arguments.

    Returns:
        0; also when the dataset was prepared before, which is said and left as it is.

    Raises:
        UserError: If the dataset cannot be built.
    """
    from tdgan_jax.data import builders

    start = time.perf_counter()
    try:
        with _sigterm_cleans_up():
            builder = builders.prepare_dataset(
                args.dataset,
                args.source,
                config=args.config,
                data_dir=args.data_dir,
                on_bad_file=args.on_bad_file,
                partial=args.partial,
                overwrite=args.overwrite,
                show_progress=not args.quiet and sys.stderr.isatty(),
            )
    except builders.AlreadyPrepared as message:
        print(message)
        return 0
    seconds = time.perf_counter() - start
    print(f"prepared {builder.info.full_name} in {builder.data_path} ({seconds:.1f} s)")
    print("\n".join(summary(builder)))
    return 0


def summary(builder: "DatasetBuilder") -> list[str]:
    """Describes a prepared dataset.

    Args:
        builder: The prepared dataset.

    Returns:
        Lines: a table of expressions and splits, the identities of each split, and what the
        builder noted about the build.
    """
    from tdgan_jax.data import builders

    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    lines = [_row("", sizes)]
    labels = builders.label_names(builder)
    if "expression" in labels:
        counts = builders.class_counts(builder, "expression")
        for name in (*labels["expression"], "-1"):
            if name != "-1" or any(count[name] for count in counts.values()):
                lines.append(_row(name, {split: count[name] for split, count in counts.items()}))
    lines.append(_row("images", sizes))
    if "identity" in labels:
        counts = builders.class_counts(builder, "identity")
        people = {
            split: sum(name != "-1" and number > 0 for name, number in count.items())
            for split, count in counts.items()
        }
        lines.append(_row("identities", people))
    for name, value in (builder.info.metadata or {}).items():
        if isinstance(value, bool | int) and value:
            lines.append(f"{name.replace('_', ' ')}: {'yes' if value is True else value}")
    return lines


def _row(title: str, cells: dict[str, int]) -> str:
    widths = {split: max(len(split), 7) for split in cells}
    shown = (f"{split if title == '' else cells[split]:>{widths[split]}}" for split in cells)
    return f"{title:<12}" + "  ".join(shown)


@contextlib.contextmanager
def _sigterm_cleans_up() -> Iterator[None]:
    """Makes SIGTERM end the program as an exception does, so that nothing half-built stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(signal_number: int, _: object) -> None:
        sys.exit(128 + signal_number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
