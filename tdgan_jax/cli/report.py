"""`tdgan-jax report RUN [RUN ...]`: writes the report of a run or compares several."""

import argparse
from pathlib import Path

from tdgan_jax.errors import UserError

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
        "features, the most confident errors, an interpolation; they stay in the run folders",
    )
    parser.add_argument("--data-dir", default="", help="prepared datasets, for --pictures")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --out file")
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes the report and prints its path.

    Raises:
        UserError: A path is no run folder, `--out` exists and `--overwrite` is not given, or
            pictures are asked for and a model or its dataset is missing.
    """
    # Imported here: matplotlib would slow down every other command's start.
    from tdgan_jax.run_folder import REPORT_FILE
    from tdgan_jax.visualisation.report import write_report

    own = args.runs[0] / REPORT_FILE
    if args.out is not None and args.out.is_dir():
        raise UserError(f"{args.out} is a folder; --out takes the name of a file")
    if args.out is not None and args.out.exists() and args.out.resolve() != own.resolve():
        if not args.overwrite:
            raise UserError(f"{args.out} exists; add --overwrite to replace it")
    if args.pictures:
        _draw_pictures(args.runs, args.data_dir)
    print(write_report(args.runs, args.out))
    return 0


def _draw_pictures(folders: list[Path], data_dir: str) -> None:
    """Of single runs; the folds of a cross-validation are drawn when they are given themselves."""
    from tdgan_jax.cli.report_pictures import draw_pictures
    from tdgan_jax.cli.train import use_compilation_cache
    from tdgan_jax.run_folder import read_run

    use_compilation_cache()
    for folder in folders:
        if not read_run(folder).folds:
            draw_pictures(folder, data_dir=data_dir)
