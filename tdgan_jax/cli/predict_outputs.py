"""What `tdgan-jax predict` writes: checked before anything is read, opened, told at the end."""

import argparse
import collections
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tdgan_jax.errors import UsageError
from tdgan_jax.printing import print_text, printable

if TYPE_CHECKING:
    from tdgan_jax.api import Analyses
    from tdgan_jax.inference.inputs import InputFile
    from tdgan_jax.inference.outputs import ReadFiles
    from tdgan_jax.inference.recognition import Recognised
    from tdgan_jax.inference.records import FaceRecord
    from tdgan_jax.inference.unfinished import UnfinishedRows


def check_outputs(args: argparse.Namespace) -> None:
    """Refuses what must not be written, as far as that is known before anything is read.

    Raises:
        UserError: If an output exists, is read as well, or cannot be made.
    """
    from tdgan_jax.inference import affect_curves, inputs, outputs
    from tdgan_jax.inference.annotated_video import CONTAINERS

    named = [argument for argument in args.pictures if argument != inputs.STDIN]
    _check_rows(args, named)
    of_one_video = _outputs_of_one_video(args)
    is_one_video = len(args.pictures) == 1 and inputs.is_video(Path(args.pictures[0]))
    if of_one_video and args.shard.count > 1:
        option, path = of_one_video[0]
        raise UsageError(f"--shard divides a list of files; {option} {printable(path)} is of one")
    if args.curves is not None:
        suffixes = affect_curves.SUFFIXES
        outputs.check_file(args.curves, suffixes, "--curves", overwrite=args.overwrite)
        outputs.check_no_input(args.curves, named, model=args.model)
        if not is_one_video:
            raise UsageError(f"--curves {printable(args.curves)} takes one video")
    if args.annotate is None:
        return
    if is_annotated_video(args):
        if not is_one_video:
            raise UsageError(
                f"--annotate {printable(args.annotate)} takes one video; of several videos or "
                "pictures, give the name of a folder"
            )
        outputs.check_file(args.annotate, tuple(CONTAINERS), "--annotate", overwrite=args.overwrite)
    else:
        outputs.check_folder(args.annotate, "--annotate", overwrite=args.overwrite)
    outputs.check_no_input(args.annotate, named, model=args.model)


def _check_rows(args: argparse.Namespace, named: Sequence[str]) -> None:
    from tdgan_jax.inference import inputs, outputs, rows, unfinished

    if args.resume and not _can_be_resumed(args):
        raise UsageError(
            "--resume goes on with a file of rows: it takes --out, without --annotate and --curves"
        )
    if args.out is None:
        return
    may_exist = args.overwrite or args.resume
    outputs.check_file(args.out, rows.SUFFIXES, "--out", overwrite=may_exist)
    outputs.check_no_input(args.out, (), model=args.model)
    if _can_be_resumed(args):
        unfinished.check_start(args.out, resume=args.resume, overwrite=args.overwrite)
    if args.out.exists():
        collections.deque(noted(inputs.named_files(named, ()), args.out, None), maxlen=0)


def _can_be_resumed(args: argparse.Namespace) -> bool:
    """Whether what is complete of the rows outlasts an interruption: drawings do not."""
    return args.out is not None and args.annotate is None and args.curves is None


def _outputs_of_one_video(args: argparse.Namespace) -> list[tuple[str, Path]]:
    """Options whose outputs are made of one video, and their values."""
    found = [("--annotate", args.annotate)] if is_annotated_video(args) else []
    return found if args.curves is None else [("--curves", args.curves), *found]


def is_annotated_video(args: argparse.Namespace) -> bool:
    """Whether `--annotate` names a video."""
    from tdgan_jax.inference.annotated_video import CONTAINERS

    path = args.annotate
    return path is not None and path.suffix.lower() in CONTAINERS and not path.is_dir()


def noted(
    files: "Iterable[InputFile]", out: Path | None, read: "ReadFiles | None"
) -> "Iterator[InputFile]":
    """Passes files on, and stops at one that the rows would replace.

    Args:
        files: What is read.
        out: Where the rows go; None for the standard output. What is not there yet is no input.
        read: Where the files are remembered, if they must be.

    Raises:
        UserError: If the rows would replace a file.
    """
    from tdgan_jax.inference.outputs import ReadFiles, check_no_input

    replaced = out if out is not None and out.exists() else None
    for file in files:
        if read is not None:
            read.add(file.path)
        if replaced is not None and replaced in ReadFiles([file.path]):
            check_no_input(replaced, [file.path])
        yield file


@contextlib.contextmanager
def unfinished_rows(
    args: argparse.Namespace, model: "Analyses"
) -> "Iterator[UnfinishedRows | None]":
    """Opens rows that outlast an interruption; None where they go elsewhere or are drawn too.

    Raises:
        UserError: If they cannot be written, or what is there was made with something else.
    """
    from tdgan_jax.inference import unfinished
    from tdgan_jax.inference.records import columns

    if not _can_be_resumed(args):
        yield None
        return
    made_with = {
        "set of columns": columns(model.expression_names),
        "model": model.digest,
        "--detect": args.detect,
        "--every": args.every,
        "--smallest-face": args.smallest_face,
        "--shard": str(args.shard),
        "--balance": args.balance,
        "--batch-size": args.batch_size,
    }
    rows = None
    try:
        with unfinished.unfinished_rows(args.out, made_with, resume=args.resume) as rows:
            yield rows
    except BaseException:
        if rows is not None and rows.saved is not rows.begun and not args.quiet:
            print_text(
                f"tdgan-jax: the rows of {rows.saved.files:,} files are kept; the same command "
                "with --resume goes on",
                aside=True,
            )
        raise


@contextlib.contextmanager
def annotations(
    args: argparse.Namespace, expression_names: "Sequence[str]", read: "ReadFiles"
) -> "Iterator[Callable[[Recognised], None]]":
    """What draws the pictures or the video that `--annotate` wants; nothing without it."""
    from tdgan_jax.inference.annotated_pictures import AnnotatedPictures
    from tdgan_jax.inference.annotated_video import video_writer
    from tdgan_jax.inference.outputs import staged_folder, write_errors_of

    if args.annotate is None:
        yield lambda _: None
    elif is_annotated_video(args):
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


def print_counts(
    args: argparse.Namespace, counts: collections.Counter[str], unread: "FaceRecord | None"
) -> None:
    """Says what was written, how many pictures have which status, and one that was not read."""
    from tdgan_jax.inference.records import DECODE_ERROR

    found = ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items()))
    what = ""
    if args.annotate is not None:
        what = "the annotated video" if is_annotated_video(args) else "annotated pictures into"
    if args.out is not None:
        also = "" if args.annotate is None else f" and {what} {printable(args.annotate)}"
        print_text(f"wrote {printable(args.out)}{also} ({found or 'no files'})")
    if args.quiet:
        return
    if args.out is None and args.annotate is not None:  # the rows have the standard output
        print_text(f"tdgan-jax: wrote {what} {printable(args.annotate)}", aside=True)
    number = counts[DECODE_ERROR]
    if number and (args.out is None or number == counts.total()):
        first = "" if unread is None else f"; the first: {unread.file}: {unread.reason}"
        text = f"tdgan-jax: {number:,} of {counts.total():,} pictures could not be read{first}"
        print_text(text, aside=True)
