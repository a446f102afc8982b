"""`tdgan-jax doctor`: compares what the user downloaded with what a dataset's owner documents."""

import argparse
import sys
from collections import Counter, defaultdict
from typing import Any

from tdgan_jax.cli.counts_table import counts_table
from tdgan_jax.expressions import in_canonical_order
from tdgan_jax.printing import print_text


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` gave.

    Returns:
        The parser of this command.
    """
    parser = subparsers.add_parser(
        "doctor",
        help="check what you downloaded before building a dataset",
        description="Looks at every file that a dataset is built from: the layout, the labels, "
        "the number of images of each class, the people, and whether each image can be read. "
        "Names the first mismatch and its cure, and writes nothing.",
        epilog="example: tdgan-jax doctor ck_plus --source ~/Downloads/CK+",
    )
    parser.add_argument("dataset", metavar="DATASET", help="name of the dataset, e.g. ck_plus")
    parser.add_argument(
        "--source", metavar="PATH", required=True, help="folder, zip or csv file to look at"
    )
    parser.add_argument(
        "--config", metavar="NAME", help="variant of the dataset (default: its first one)"
    )
    parser.add_argument(
        "--subject-pattern",
        metavar="REGEX",
        help="of image_folder: as for prepare",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def run(args: argparse.Namespace) -> int:
    """Looks at the source and prints what is there.

    Args:
        args: The parsed arguments.

    Returns:
        0 if everything is as documented.

    Raises:
        UserError: At the first mismatch.
    """
    from tdgan_jax.preparation.inspection import inspect_source

    listed, notes = inspect_source(
        args.dataset,
        args.source,
        config=args.config,
        subject_pattern=args.subject_pattern,
        show_progress=not args.quiet and sys.stderr.isatty(),
    )
    print_text(f"{args.source} is a complete source of {args.dataset}")
    expressions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    people: defaultdict[str, set[str]] = defaultdict(set)
    for image in listed:
        expressions[image.split]["-1" if image.expression is None else image.expression] += 1
        people[image.split].add(image.identity or "")
    names = in_canonical_order(image.expression for image in listed if image.expression is not None)
    table = counts_table(
        images={split: counts.total() for split, counts in expressions.items()},
        expressions=expressions if names else None,
        expression_names=names,
        people={split: len(found - {""}) for split, found in people.items()}
        if any(image.identity for image in listed)
        else None,
        notes=notes,
    )
    print_text("\n".join(table))
    return 0
