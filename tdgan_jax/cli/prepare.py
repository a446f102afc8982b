"""`tdgan-jax prepare`: builds a dataset from what the user downloaded."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.cli.counts_table import counts_table
from tdgan_jax.cli.crop_arguments import add_crop_arguments, cropping_from
from tdgan_jax.cli.interruption import sigterm_cleans_up
from tdgan_jax.printing import print_text

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
        "distributes. data_builders/DATASET/README.md says where to get it.",
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
        "--subject-pattern",
        metavar="REGEX",
        help=r"of image_folder: the first group, found in the name of a file, is the subject, as "
        r"in '^(S\d+)_'; gives subject-disjoint folds",
    )
    parser.add_argument(
        "--on-bad-file",
        choices=("stop", "skip"),
        default="stop",
        help="at a damaged or missing file: stop, or skip it and list it in skipped_files.csv "
        "(default: stop)",
    )
    add_crop_arguments(parser)
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
        0; also when the dataset was prepared before in the same way, which is said and left as it
        is.

    Raises:
        UserError: If the dataset cannot be built, or was prepared before in another way.
    """
    from tdgan_jax.data import builders
    from tdgan_jax.preparation import preparing

    default_detect = getattr(builders.builder_class(args.dataset), "DETECT", "none")
    cropping = cropping_from(args, default_detect)
    start = time.perf_counter()
    try:
        with sigterm_cleans_up():
            builder = preparing.prepare_dataset(
                args.dataset,
                args.source,
                config=args.config,
                data_dir=args.data_dir,
                subject_pattern=args.subject_pattern,
                cropping=cropping,
                on_bad_file=args.on_bad_file,
                partial=args.partial,
                overwrite=args.overwrite,
                show_progress=not args.quiet and sys.stderr.isatty(),
            )
    except preparing.AlreadyPrepared as message:
        print_text(message)
        return 0
    seconds = time.perf_counter() - start
    print_text(f"prepared {builder.info.full_name} in {builder.data_path} ({seconds:.1f} s)")
    print_text("\n".join(summary(builder)))
    if tables := ", ".join(sorted(path.name for path in Path(builder.data_path).glob("*.csv"))):
        print_text(f"tables of what was found, in that folder: {tables}")
    return 0


def summary(builder: "DatasetBuilder") -> list[str]:
    """Describes a prepared dataset.

    Args:
        builder: The prepared dataset.

    Returns:
        Lines: a table of expressions and splits, the identities of each split, and what the
        builder noted about the build.
    """
    from tdgan_jax.preparation.contents import class_counts, label_names

    labels = label_names(builder)
    identities = class_counts(builder, "identity") if "identity" in labels else {}
    return counts_table(
        images={name: split.num_examples for name, split in builder.info.splits.items()},
        expressions=class_counts(builder, "expression") if "expression" in labels else None,
        expression_names=labels.get("expression", ()),
        people={
            split: sum(name != "-1" and number > 0 for name, number in count.items())
            for split, count in identities.items()
        }
        or None,
        notes=builder.info.metadata or {},
    )
