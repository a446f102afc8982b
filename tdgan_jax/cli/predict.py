"""`tdgan-jax predict`: recognises the expressions of faces in pictures and videos."""

import argparse
import collections
import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.cli.interruption import sigterm_cleans_up
from tdgan_jax.cli.model_arguments import (
    add_model_arguments,
    open_face_finder,
    open_model,
    positive,
    progress_bar,
)
from tdgan_jax.errors import UserError

if TYPE_CHECKING:
    from tdgan_jax.inference.inputs import Picture
    from tdgan_jax.inference.recognition import Recognised

_EXAMPLES = """\
examples:
  tdgan-jax predict photos --model runs/tdgan_fer2013/seed_0 --out expressions.csv
  tdgan-jax predict face.png --detect none --model runs/tdgan_synthetic/seed_0
  find photos -name '*.jpg' | tdgan-jax predict - --model M --out expressions.jsonl
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "predict",
        help="recognise expressions in pictures, folders and videos",
        description="Writes one row a face, at least one a picture or frame: file, frame, time in "
        "seconds, box in pixels, status (ok, no_face, decode_error), label, and the probability of "
        "each expression.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="IMAGE|FOLDER|VIDEO",
        help="pictures, videos, folders with all pictures and videos below them (by their "
        "suffixes), patterns such as 'p/*.jpg', or - for a list of them on the standard input, one "
        "a line. What cannot be read, or is not there, is a row with the reason, and an error if "
        "it is the only one",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.csv|.jsonl",
        help="where the rows go (default: csv on the standard output)",
    )
    parser.add_argument(
        "--annotate",
        type=Path,
        metavar="DIR",
        help="write the pictures with boxes and bars into this folder",
    )
    parser.add_argument(
        "--every", type=positive, default=1, metavar="N", help="every N-th frame of videos"
    )
    parser.add_argument(
        "--batch-size", type=positive, default=32, metavar="N", help="faces at a time (default: 32)"
    )
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the rows, and the annotated pictures.

    Raises:
        UserError: If there is nothing to read, the only picture cannot be read, or an output
            cannot be written.
    """
    from tdgan_jax.inference import inputs, outputs, rows

    if args.out is not None:
        outputs.check_file(args.out, rows.SUFFIXES, "--out", overwrite=args.overwrite)
    if args.annotate is not None:
        outputs.check_folder(args.annotate, "--annotate", overwrite=args.overwrite)
        outputs.check_no_input(args.annotate, args.pictures)
    inputs.check_named(args.pictures)
    try:
        with sigterm_cleans_up():
            counts = _predict(args)
    except BrokenPipeError:
        # Who reads the rows has had enough. Python must not find the pipe broken again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    _print_counts(args, counts)
    return int(counts.keys() == {"decode_error"})  # nothing could be read


def _predict(args: argparse.Namespace) -> collections.Counter[str]:
    """Goes through all pictures and counts them by status."""
    from tdgan_jax.inference import inputs, recognition, rows
    from tdgan_jax.inference.annotation import annotate
    from tdgan_jax.inference.outputs import staged_folder, write_errors_of

    model = open_model(args)
    files = inputs.named_files(args.pictures, sys.stdin.buffer if "-" in args.pictures else ())
    recognised = recognition.recognise(
        inputs.read_pictures(files, every=args.every),
        model,
        open_face_finder(args, model),
        batch_size=args.batch_size,
    )
    finished = progress_bar(
        args,
        _refusing_a_single_failure(recognised),
        unit="picture",
        total=inputs.count_pictures(args.pictures),
    )
    counts: collections.Counter[str] = collections.Counter()
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(rows.row_writer(args.out, model.expression_names))
        folder = stack.enter_context(staged_folder(args.annotate)) if args.annotate else None
        for result in finished:
            counts[result.status] += 1
            write(rows.rows_of(result, model.expression_names))
            image = result.picture.image
            if folder is not None and image is not None:
                with write_errors_of(args.annotate):
                    path = _annotated_path(folder, result.picture)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    annotate(image, result.faces, model.expression_names).save(path)
    return counts


def _refusing_a_single_failure(recognised: "Iterator[Recognised]") -> "Iterator[Recognised]":
    """Passes everything on, unless it is nothing or a single picture that cannot be read."""
    first = list(itertools.islice(recognised, 2))
    if not first:
        raise UserError("the list on the standard input is empty")
    if len(first) == 1 and first[0].picture.image is None:
        raise UserError(f"{first[0].picture.file.path}: {first[0].picture.reason}")
    return itertools.chain(first, recognised)


def _annotated_path(folder: Path, picture: "Picture") -> Path:
    """A free name for an annotated picture, after that of the picture or frame."""
    from tdgan_jax.data import picture_files

    name = picture.file.name
    if picture.frame is not None:
        path = folder / name / f"frame_{picture.frame:06d}.png"
    else:
        is_usual = name.suffix.lower() in picture_files.SUFFIXES
        path = folder / (name.with_suffix(".png") if is_usual else f"{name}.png")
    # Pictures of one name may come from several folders.
    free = (path.with_stem(f"{path.stem}_{number}") for number in itertools.count(2))
    while path.exists():
        path = next(free)
    return path


def _print_counts(args: argparse.Namespace, counts: collections.Counter[str]) -> None:
    found = ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))
    if args.out is not None:
        also = "" if args.annotate is None else f" and annotated pictures into {args.annotate}"
        print(f"wrote {args.out}{also} ({found})")
        return
    if args.quiet:
        return
    if args.annotate is not None:  # the rows have the standard output
        print(f"tdgan-jax: wrote annotated pictures into {args.annotate}", file=sys.stderr)
    if counts["decode_error"]:
        print(f"tdgan-jax: not all pictures could be read ({found})", file=sys.stderr)
