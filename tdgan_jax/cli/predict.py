"""`tdgan-jax predict`: recognises the expressions of faces in pictures and videos."""

import argparse
import collections
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.cli.interruption import sigterm_cleans_up
from tdgan_jax.cli.model_arguments import (
    add_model_arguments,
    open_face_search,
    open_model,
    positive,
    progress_bar,
)
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.files import listed_paths
from tdgan_jax.printing import is_closed, print_text, printable

if TYPE_CHECKING:
    from tdgan_jax.inference.inputs import InputFile
    from tdgan_jax.inference.outputs import ReadFiles
    from tdgan_jax.inference.recognition import Recognised

_EXAMPLES = """\
examples:
  tdgan-jax predict photos --model runs/tdgan_fer2013/seed_0 --out expressions.csv
  tdgan-jax predict face.png --detect none --model runs/tdgan_synthetic/seed_0
  tdgan-jax predict talk.mp4 --every 5 --out talk.csv --annotate talk_seen.mp4
  find photos -name '*.jpg' | tdgan-jax predict - --model M --out expressions.jsonl
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
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the rows, and the annotated pictures or video.

    Raises:
        UserError: If there is nothing to read, the only picture cannot be read, or an output
            cannot be written.
    """
    from tdgan_jax.data.picture_files import left_out_line
    from tdgan_jax.inference import inputs
    from tdgan_jax.inference.faces import smallest_face

    smallest_face(args.smallest_face)
    if inputs.STDIN in args.pictures and is_closed(sys.stdin):
        raise UserError("the standard input is closed; there is no list to read")
    _check_outputs(args)
    inputs.check_named(args.pictures)
    with sigterm_cleans_up():
        counts = _predict(args)
    _print_counts(args, counts)
    left_out = left_out_line(inputs.left_out(args.pictures))
    if left_out and not args.quiet:
        print_text(f"tdgan-jax: not read in the folders: {left_out}", aside=True)
    return int(counts.keys() == {"decode_error"})  # nothing could be read


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuses what must not be written, as far as that is known before anything is read."""
    from tdgan_jax.inference import affect_curves, inputs, outputs, rows
    from tdgan_jax.inference.annotated_video import CONTAINERS

    named = [argument for argument in args.pictures if argument != inputs.STDIN]
    if args.out is not None:
        outputs.check_file(args.out, rows.SUFFIXES, "--out", overwrite=args.overwrite)
        outputs.check_no_input(args.out, (), model=args.model)
        if args.out.exists():
            collections.deque(_noted(inputs.named_files(named, ()), args.out, outputs.ReadFiles()))
    is_one_video = len(args.pictures) == 1 and inputs.is_video(Path(args.pictures[0]))
    if args.curves is not None:
        suffixes = affect_curves.SUFFIXES
        outputs.check_file(args.curves, suffixes, "--curves", overwrite=args.overwrite)
        outputs.check_no_input(args.curves, named, model=args.model)
        if not is_one_video:
            raise UsageError(f"--curves {printable(args.curves)} takes one video")
    if args.annotate is None:
        return
    if _is_annotated_video(args):
        if not is_one_video:
            raise UsageError(
                f"--annotate {printable(args.annotate)} takes one video; of several videos or "
                "pictures, give the name of a folder"
            )
        outputs.check_file(args.annotate, tuple(CONTAINERS), "--annotate", overwrite=args.overwrite)
    else:
        outputs.check_folder(args.annotate, "--annotate", overwrite=args.overwrite)
    outputs.check_no_input(args.annotate, named, model=args.model)


def _is_annotated_video(args: argparse.Namespace) -> bool:
    from tdgan_jax.inference.annotated_video import CONTAINERS

    return args.annotate.suffix.lower() in CONTAINERS and not args.annotate.is_dir()


def _noted(
    files: "Iterable[InputFile]", out: Path | None, read: "ReadFiles"
) -> "Iterator[InputFile]":
    """Passes files on and remembers them; stops at one that the rows would replace."""
    from tdgan_jax.inference.outputs import check_no_input

    for file in files:
        read.add(file.path)
        if out is not None and out in read:
            check_no_input(out, [file.path])
        yield file


def _predict(args: argparse.Namespace) -> collections.Counter[str]:
    """Goes through all pictures and counts them by status."""
    from tdgan_jax.inference import inputs, outputs, recognition, records, rows
    from tdgan_jax.inference.affect_curves import check_knows_affect, curves_file

    with _detector_warming_up(args):
        model = open_model(args)
        if args.leave_out:
            model = model.without(*args.leave_out)
        if args.curves is not None:
            check_knows_affect(model)
    read = outputs.ReadFiles()
    listed = listed_paths(sys.stdin.buffer) if inputs.STDIN in args.pictures else ()
    files = _noted(inputs.named_files(args.pictures, listed), args.out, read)
    recognised = recognition.recognise(
        lambda reader: inputs.read_pictures(files, reader, every=args.every),
        model,
        open_face_search(args, model),
        batch_size=args.batch_size,
    )
    counts: collections.Counter[str] = collections.Counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(recognised))
        finished = progress_bar(
            args,
            _refusing_a_single_failure(recognised),
            unit="picture",
            total=inputs.count_pictures(args.pictures),
        )
        write = stack.enter_context(rows.row_writer(args.out, model.expression_names))
        draw = stack.enter_context(_annotations(args, model.expression_names, read))
        curves = stack.enter_context(curves_file(args.curves)) if args.curves else None
        for result in finished:
            counts[result.status] += 1
            if curves is not None:
                curves.add(result.records)
            write([records.row_of(record, model.expression_names) for record in result.records])
            draw(result)
    return counts


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


@contextlib.contextmanager
def _annotations(
    args: argparse.Namespace, expression_names: "Sequence[str]", read: "ReadFiles"
) -> "Iterator[Callable[[Recognised], None]]":
    """What draws the pictures or the video that `--annotate` wants; nothing without it."""
    from tdgan_jax.inference.annotated_pictures import AnnotatedPictures
    from tdgan_jax.inference.annotated_video import video_writer
    from tdgan_jax.inference.outputs import staged_folder, write_errors_of

    if args.annotate is None:
        yield lambda _: None
    elif _is_annotated_video(args):
        with video_writer(args.annotate, expression_names) as write:
            yield write
    else:
        with staged_folder(args.annotate, read) as folder:
            pictures = AnnotatedPictures(folder, expression_names)

            def draw(recognised: "Recognised") -> None:
                with write_errors_of(args.annotate):
                    pictures.write(recognised)

            yield draw
        if pictures.num_failed:
            print_text(
                f"tdgan-jax: {pictures.num_failed:,} annotated pictures could not be written; the "
                f"first: {pictures.first_failure}",
                aside=True,
            )


def _refusing_a_single_failure(recognised: "Iterator[Recognised]") -> "Iterator[Recognised]":
    """Passes everything on, unless it is nothing or a single picture that cannot be read."""
    first = list(itertools.islice(recognised, 2))
    if not first:
        raise UserError("the list on the standard input is empty")
    if len(first) == 1 and first[0].picture.image is None:
        (record,) = first[0].records
        raise UserError(f"{record.file}: {record.reason}")
    return itertools.chain(first, recognised)


def _print_counts(args: argparse.Namespace, counts: collections.Counter[str]) -> None:
    found = ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))
    what = ""
    if args.annotate is not None:
        what = "the annotated video" if _is_annotated_video(args) else "annotated pictures into"
    if args.out is not None:
        also = "" if args.annotate is None else f" and {what} {printable(args.annotate)}"
        print_text(f"wrote {printable(args.out)}{also} ({found})")
        return
    if args.quiet:
        return
    if args.annotate is not None:  # the rows have the standard output
        print_text(f"tdgan-jax: wrote {what} {printable(args.annotate)}", aside=True)
    if counts["decode_error"]:
        print_text(f"tdgan-jax: not all pictures could be read ({found})", aside=True)
