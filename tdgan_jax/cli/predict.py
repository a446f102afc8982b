"""`tdgan-jax predict`: recognises the expressions of faces in pictures and videos."""

import argparse
import collections
import contextlib
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.cli.interruption import sigterm_cleans_up
from tdgan_jax.cli.model_arguments import (
    add_model_arguments,
    open_face_search,
    open_model,
    positive,
    progress_bar,
    share,
    shows_progress,
)
from tdgan_jax.cli.predict_outputs import (
    annotations,
    check_outputs,
    noted,
    print_counts,
    unfinished_rows,
)
from tdgan_jax.errors import UserError
from tdgan_jax.files import listed_paths
from tdgan_jax.printing import is_closed, print_text, printable

if TYPE_CHECKING:
    from tdgan_jax.inference.inputs import Shard
    from tdgan_jax.inference.recognition import Recognised
    from tdgan_jax.inference.records import FaceRecord

_EXAMPLES = """\
examples:
  tdgan-jax predict photos --model runs/tdgan_fer2013/seed_0 --out expressions.csv
  tdgan-jax predict face.png --detect none --model runs/tdgan_synthetic/seed_0
  tdgan-jax predict talk.mp4 --every 5 --out talk.csv --annotate talk_seen.mp4
  find photos -name '*.jpg' | tdgan-jax predict - --model M --out expressions.jsonl
  tdgan-jax predict photos --shard 0/4 --out expressions_0.csv --resume
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "predict",
        help="recognise expressions in pictures, folders and videos",
        description="Writes one row a face, at least one a picture or frame: file, frame, time in "
        "seconds, number of the face, its track in a video, box and landmarks in pixels, the "
        "detector's score, status (ok, no_face, cut_off, profile, decode_error), label, valence "
        "and arousal where the model knows them, and the probability of each expression.",
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
        metavar="DIR|O.mp4",
        help="write the pictures with boxes and bars into this folder; of one video, write the "
        "annotated video into a file that ends in .mp4, .mov or .mkv",
    )
    parser.add_argument(
        "--curves",
        type=Path,
        metavar="O.png",
        help="of one video: draw valence and arousal over time, a line a track, for a model that "
        "knows them; a file that ends in .png, .svg or .pdf",
    )
    parser.add_argument(
        "--every", type=positive, default=1, metavar="N", help="every N-th frame of videos"
    )
    parser.add_argument(
        "--batch-size", type=positive, default=32, metavar="N", help="faces at a time (default: 32)"
    )
    parser.add_argument(
        "--smallest-face",
        type=float,
        metavar="SIZE",
        help="the smallest face that is looked for: pixels (12 or more), or a share of the "
        "picture's shorter side (below 1); smaller takes longer (default: 0.05, 24 pixels at "
        "least)",
    )
    parser.add_argument(
        "--leave-out",
        default=[],
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="expressions that the model shall not answer, separated by commas, such as contempt",
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default="0/1",
        metavar="I/N",
        help="every N-th file of the list alone, from number I on, which counts from 0 to N-1: the "
        "rows of the N shards together are those of one run",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the rows of --out that an interrupted run of the same command has left in "
        "FILE.partial, file by file; without them begin",
    )
    parser.add_argument(
        "--balance",
        type=share,
        metavar="SHARE",
        help="how much more often rare expressions are answered than in the labels that the model "
        "learned from: 0: not at all, 1: as if all were equally frequent (default: as the model "
        "was exported)",
    )
    add_model_arguments(parser)
    return parser


def _shard(text: str) -> "Shard":
    """Reads `I/N` from the command line.

    Raises:
        argparse.ArgumentTypeError: If it is something else.
    """
    from tdgan_jax.inference.inputs import Shard

    found = re.fullmatch("([0-9]{1,18})/([0-9]{1,18})", text)
    shard = Shard(*map(int, found.groups())) if found else None
    if shard is None or shard.index >= shard.count:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no shard; give I/N with I from 0 to N-1, such as 0/4 to 3/4"
        )
    return shard


def run(args: argparse.Namespace) -> int:
    """Writes the rows, and the annotated pictures or video.

    Raises:
        UserError: If there is nothing to read, the only picture cannot be read, or an output
            cannot be written.
    """
    from tdgan_jax.data.picture_files import left_out_line
    from tdgan_jax.inference import inputs
    from tdgan_jax.inference.faces import smallest_face
    from tdgan_jax.inference.records import DECODE_ERROR
    from tdgan_jax.inference.unfinished import is_complete

    smallest_face(args.smallest_face)
    if inputs.STDIN in args.pictures and is_closed(sys.stdin):
        raise UserError("the standard input is closed; there is no list to read")
    check_outputs(args)
    if args.resume and not args.overwrite and is_complete(args.out):
        if not args.quiet:
            out = printable(args.out)
            print_text(f"tdgan-jax: {out} is complete, there is nothing to resume", aside=True)
        return 0
    inputs.check_named(args.pictures)
    with sigterm_cleans_up():
        counts, unread = _predict(args)
    print_counts(args, counts, unread)
    left_out = "" if args.quiet else left_out_line(inputs.left_out(args.pictures))
    if left_out:
        print_text(f"tdgan-jax: not read in the folders: {left_out}", aside=True)
    return int(counts.keys() == {DECODE_ERROR})  # nothing could be read


def _predict(args: argparse.Namespace) -> "tuple[collections.Counter[str], FaceRecord | None]":
    """Goes through all pictures; how many have which status, and the first one not read."""
    from tdgan_jax.inference import inputs, outputs, recognition, records, rows
    from tdgan_jax.inference.affect_curves import check_knows_affect, curves_file

    with _detector_warming_up(args):
        model = open_model(args)
        if args.leave_out:
            model = model.without(*args.leave_out)
        if args.balance is not None:
            model = model.balanced(args.balance)
        if args.curves is not None:
            check_knows_affect(model)
    counts: collections.Counter[str] = collections.Counter()
    unread = None
    with contextlib.ExitStack() as stack:
        unfinished = stack.enter_context(unfinished_rows(args, model))
        read = outputs.ReadFiles()
        listed = listed_paths(sys.stdin.buffer) if inputs.STDIN in args.pictures else ()
        files = noted(
            inputs.named_files(args.pictures, listed), args.out, read if args.annotate else None
        )
        files = inputs.files_of_shard(files, args.shard)
        if unfinished is not None:
            counts.update(unfinished.begun.counts)
            files = unfinished.left(files)
        recognised = recognition.recognise(
            lambda reader: inputs.read_pictures(files, reader, every=args.every),
            model,
            open_face_search(args, model),
            batch_size=args.batch_size,
        )
        stack.enter_context(contextlib.closing(recognised))
        is_whole = args.shard.count == 1 and not counts
        finished = progress_bar(
            args,
            _begun(recognised, is_whole),
            unit="picture",
            total=inputs.count_pictures(args.pictures, args.shard)
            if shows_progress(args)
            else None,
            done=counts.total(),
        )
        write = stack.enter_context(rows.row_writer(args.out, model.expression_names, unfinished))
        draw = stack.enter_context(annotations(args, model.expression_names, read))
        curves = stack.enter_context(curves_file(args.curves)) if args.curves else None
        for result in finished:
            if unfinished is not None:
                unfinished.note(result, counts)
            counts[result.status] += 1
            if unread is None and result.status == records.DECODE_ERROR:
                unread = result.records[0]
            if curves is not None:
                curves.add(result.records)
            write([records.row_of(record, model.expression_names) for record in result.records])
            draw(result)
    return counts, unread


@contextlib.contextmanager
def _detector_warming_up(args: argparse.Namespace) -> "Iterator[None]":
    """Compiles the detector's programs in another thread, which goes on after the block."""
    from concurrent.futures import ThreadPoolExecutor

    from tdgan_jax.cli.train import use_compilation_cache

    pool = ThreadPoolExecutor(1)
    if args.detect != "none":
        use_compilation_cache()
        from tdgan_jax.faces.detection import warm_up

        pool.submit(warm_up)  # What fails here fails again where it is needed.
    try:
        yield
    finally:
        pool.shutdown(wait=False)


def _begun(recognised: "Iterator[Recognised]", is_whole: bool) -> "Iterator[Recognised]":
    """Passes everything on, unless the whole is a single picture that cannot be read."""
    first = list(itertools.islice(recognised, 2))
    if is_whole and len(first) == 1 and first[0].picture.image is None:
        (record,) = first[0].records
        raise UserError(f"{record.file}: {record.reason}")
    return itertools.chain(first, recognised)
