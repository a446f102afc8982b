"""`tdgan-jax report RUN [RUN ...]`: writes the report of a run or compares several."""

import argparse
from pathlib import Path

from tdgan_jax.cli.model_arguments import stage_bar
from tdgan_jax.errors import UserError
from tdgan_jax.printing import print_text

_EXAMPLE = """\
examples:
  tdgan-jax report runs/tdgan_synthetic/seed_0 --pictures
  tdgan-jax report runs/tdgan_synthetic/seed_0 runs/tdgan_synthetic/seed_1 --out seeds.html
"""


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Adds the command to the program's parser and returns its own parser."""
    parser = subparsers.add_parser(
        "report",
        help="write report.html of a run, or compare several runs",
        description="Writes one HTML file that opens without a server or a network: figures, "
        "curves, confusion matrices, samples, configuration and environment. Several runs stand "
        "side by side.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="folder of a run")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="file to write; default: report.html in the first run folder, which is rewritten",
    )
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="first draw what takes the trained models and their test images: maps of the "
        "features, the most confident errors, an interpolation; they stay in the run folders. Of a "
        "cross-validation, single folds are drawn, when their folders are given",
    )
    parser.add_argument("--data-dir", default="", help="prepared datasets, for --pictures")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --out file")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the report and prints its path.

    Raises:
        UserError: A path is no run folder, `--out` exists and `--overwrite` is not given, or
            pictures are asked for and a model or its dataset is missing.
    """
    # Imported here: matplotlib would slow down every other command's start.
    from tdgan_jax.inference.outputs import check_no_dangling_link, check_no_input
    from tdgan_jax.reports.report import write_report
    from tdgan_jax.runs.folder import REPORT_FILE

    own = args.runs[0] / REPORT_FILE
    if args.out is not None:
        check_no_dangling_link(args.out)
        if args.out.resolve() != own.resolve():
            for folder in args.runs:
                check_no_input(args.out, (), model=folder)
    if args.out is not None and args.out.is_dir():
        raise UserError(f"{args.out} is a folder; --out takes the name of a file")
    if args.out is not None and args.out.exists() and args.out.resolve() != own.resolve():
        if not args.overwrite:
            raise UserError(f"{args.out} exists; add --overwrite to replace it")
    if args.pictures:
        _draw_pictures(args)
    print_text(write_report(args.runs, args.out))
    return 0


def _draw_pictures(args: argparse.Namespace) -> None:
    """Of single runs; the folds of a cross-validation are drawn when they are given themselves."""
    from tdgan_jax.cli.report_pictures import STAGES, draw_pictures
    from tdgan_jax.cli.train import use_compilation_cache
    from tdgan_jax.runs.folder import read_run

    use_compilation_cache()
    single = []
    for folder in args.runs:
        if folds := read_run(folder).folds:
            print_text(
                f"tdgan-jax: {folder} is a cross-validation; pictures are drawn for single folds: "
                f"tdgan-jax report {folds[0]} --pictures",
                aside=True,
            )
        else:
            single.append(folder)
    with stage_bar(args, STAGES * len(single)) as say:
        for folder in single:
            draw_pictures(
                folder,
                data_dir=args.data_dir,
                say=lambda stage, name=folder.name: say(f"{name}: {stage}"),
            )
